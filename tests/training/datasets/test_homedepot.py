"""The conversion of the real file."""

import hashlib

import polars as pl

from training.datasets import tables
from training.datasets.split import query_buckets


def test_every_pair_has_its_relevance(converted) -> None:
    read = tables.read(converted("homedepot"))
    labels = read.events["label:query_match"]
    assert read.report.bad == ()
    assert read.items.height == 54_667
    assert (labels.len(), labels.null_count(), read.events["query"].n_unique()) == (74_067, 0, 11_795)
    assert (labels.min(), labels.max(), round(labels.mean(), 3)) == (1.0, 3.0, 2.382)


def test_nobody_is_known_and_nothing_has_a_time(converted) -> None:
    events = tables.read(converted("homedepot")).events
    assert events["user"].null_count() == events.height
    assert events["time"].unique().to_list() == [0.0]


def test_titles_keep_their_latin_1_letters(converted) -> None:
    items = tables.read(converted("homedepot")).items
    assert items.filter(pl.col("text").str.contains("\ufffd")).height == 0


def test_the_test_queries_are_those_of_the_last_two_hash_buckets(converted) -> None:
    queries = tables.read(converted("homedepot")).events["query"].unique()
    test = query_buckets(queries) >= 0.8
    digits = [
        int(hashlib.md5(query.encode(), usedforsecurity=False).hexdigest(), 16) % 10 for query in queries
    ]
    assert test.tolist() == [digit in (8, 9) for digit in digits]
