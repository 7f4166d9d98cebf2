"""Rows fall out once, for the first thing found."""

from pathlib import Path

import polars as pl

from training.datasets import columns
from training.datasets.sieve import Sieve


def sieve() -> Sieve:
    frame = pl.DataFrame({"id": ["a", None, "c", "d"], "n": ["1", "x", "y", "4"]})
    return Sieve(frame, "events", Path("folder/log.csv"))


def test_good_rows_pass_in_order() -> None:
    made = sieve()
    made.take("item", "id", columns.ids, required=True)
    made.take("label", "n", columns.numbers)
    assert made.rows().rows() == [("a", 1.0), ("d", 4.0)]


def test_a_row_with_two_faults_counts_once_under_the_first() -> None:
    made = sieve()
    made.take("item", "id", columns.ids, required=True)
    made.take("label", "n", columns.numbers)
    assert [(bad.column, bad.reason, bad.count, bad.examples) for bad in made.found] == [
        ("id", "missing", 1, ((2, "empty"),)),
        ("n", "not a number", 1, ((3, "'y'"),)),
    ]


def test_examples_are_few_and_short() -> None:
    frame = pl.DataFrame({"n": ["x" * 100] * 10})
    made = Sieve(frame, "events", Path("log.csv"))
    made.take("label", "n", columns.numbers)
    (bad,) = made.found
    assert bad.count == 10
    assert [row for row, _ in bad.examples] == [1, 2, 3]
    assert len(bad.examples[0][1]) == 40
