"""The conversion of the real files."""

import polars as pl
import pytest

from training.datasets import tables
from training.datasets.tables import Tables


@pytest.fixture(scope="module")
def read(converted) -> Tables:
    return tables.read(converted("movielens"))


def test_every_rating_is_there_and_is_an_event_of_its_own_kind(read: Tables) -> None:
    kinds = read.events["events"].explode().value_counts().sort("events")
    assert read.report.bad == ()
    assert (read.items.height, read.users.height, read.events.height) == (1_682, 943, 100_000)
    assert kinds["count"].to_list() == [6_110, 11_370, 27_145, 34_174, 21_201]
    assert read.events["label:like"].sum() == 34_174 + 21_201


def test_genres_are_those_of_the_flags(read: Tables) -> None:
    genres = read.items["label:genre"].explode().value_counts()
    counted = dict(genres.iter_rows())
    assert {name: counted[name] for name in ("Drama", "Comedy", "Action", "Thriller", "Romance", "unknown")} == {
        "Drama": 725, "Comedy": 505, "Action": 251, "Thriller": 251, "Romance": 247, "unknown": 2,
    }  # fmt: skip
    assert len(counted) == 19


def test_people_and_films_read_as_text(read: Tables) -> None:
    assert read.items.row(0, named=True)["text"] == "Toy Story (1995)"
    assert read.users.select("user", "profile").row(0) == ("1", "age: 18-24. male. technician")


def test_ratings_are_oldest_first(read: Tables) -> None:
    assert read.events["time"].is_sorted()
    assert read.events.filter(pl.col("time") == 874724710.0)["user"].unique().to_list() == ["259"]
