"""MovieLens 1M as CoLLM splits it (arXiv 2310.19488): twenty months of likes, the original files to contract tables.

    items.csv.gz, ml-1m_movies.dat.gz (latin-1, "::")  -> items.parquet    item_id, title with year, decade, genres
    train, valid, test.parquet                         -> events.parquet   user_id, item_id, like, timestamp

Users are re-numbered, so nothing is known of them but what they did; earlier likes are rows of their own.
"""

from pathlib import Path

import polars as pl

from training.datasets import files
from training.datasets.package import publish

PARTS = ("train", "valid", "test")


def convert(source: Path, target: Path) -> Path:
    """Write items, events and the configuration into `target`; returns the path of the latter."""
    rows = pl.concat([files.read(source / f"{part}.parquet") for part in PARTS])
    titles = files.read(source / "items.csv.gz").select(item_id="iid", title="title")
    frames = {"items": _items(titles, source), "events": _events(rows)}
    return publish("collm", frames, target)


def _items(titles: pl.DataFrame, source: Path) -> pl.DataFrame:
    told = files.unpack(source / "ml-1m_movies.dat.gz", "latin-1").splitlines()
    films = pl.DataFrame([line.split("::") for line in told], schema=["id", "title", "genres"], orient="row")
    genres = films.select("title", pl.col("genres").str.split("|")).unique("title", maintain_order=True)
    decade = pl.col("title").str.extract(r"\((\d{3})\d\)$") + "0s"
    return titles.join(genres, on="title", how="left", maintain_order="left").with_columns(decade=decade)


def _events(rows: pl.DataFrame) -> pl.DataFrame:
    moment = pl.from_epoch(pl.col("timestamp")).dt.replace_time_zone("UTC")
    user, item = pl.col("uid").cast(pl.String), pl.col("iid").cast(pl.String)
    return rows.select(user_id=user, item_id=item, like=pl.col("label").cast(pl.Int8), timestamp=moment)
