"""MovieLens 100K, ratings of films: the original files to contract tables.

    u.item.gz (latin-1, "|")  -> items.parquet    item_id, title with its year, year, genres
    u.user.gz ("|")           -> users.parquet    user_id, age_group, gender, occupation
    u.data.gz (tab)           -> events.parquet   user_id, item_id, rating, like (rating >= 4), timestamp

The release date is not when a film came to the site, so films have no time of publication.
"""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from training.datasets import files
from training.datasets.package import publish

AGES = (18, 25, 35, 45, 50, 56)
AGE_GROUPS = ("under 18", "18-24", "25-34", "35-44", "45-49", "50-55", "56 or older")
GENDERS = {"M": "male", "F": "female"}


def convert(source: Path, target: Path) -> Path:
    """Write items, users, events and the configuration into `target`; returns the path of the latter."""
    genres = _rows(source / "u.genre.gz", "|", ("genre", "number"))["genre"].drop_nulls().to_list()
    films = ("item_id", "title", "release", "video_release", "address", *genres)
    frames = {
        "items": _items(_rows(source / "u.item.gz", "|", films), genres),
        "users": _users(_rows(source / "u.user.gz", "|", ("user_id", "age", "gender", "occupation", "zip"))),
        "events": _events(_rows(source / "u.data.gz", "\t", ("user_id", "item_id", "rating", "timestamp"))),
    }
    return publish("movielens", frames, target)


def _rows(path: Path, separator: str, names: Sequence[str]) -> pl.DataFrame:
    """A file without a header, cells as text."""
    text = files.unpack(path, "latin-1")
    return pl.read_csv(
        text.encode(),
        separator=separator,
        has_header=False,
        new_columns=names,
        infer_schema=False,
        quote_char=None,
    )


def _items(films: pl.DataFrame, genres: Sequence[str]) -> pl.DataFrame:
    flags = [pl.when(pl.col(genre) == "1").then(pl.lit(genre)) for genre in genres]
    return films.select(
        "item_id",
        "title",
        year=pl.col("release").str.extract(r"(\d{4})$"),
        genres=pl.concat_list(flags).list.drop_nulls(),
    )


def _users(people: pl.DataFrame) -> pl.DataFrame:
    groups = pl.Series(AGES).search_sorted(people["age"].cast(pl.Int64), side="right")
    return people.select(
        "user_id",
        "occupation",
        age_group=pl.Series(AGE_GROUPS).gather(groups),
        gender=pl.col("gender").replace_strict(GENDERS),
    )


def _events(ratings: pl.DataFrame) -> pl.DataFrame:
    rating = pl.col("rating").cast(pl.Int64)
    moment = pl.from_epoch(pl.col("timestamp").cast(pl.Int64))
    return ratings.select(
        "user_id",
        "item_id",
        rating=rating,
        like=(rating >= 4).cast(pl.Int8),
        timestamp=moment.dt.replace_time_zone("UTC"),
    )
