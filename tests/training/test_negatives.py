"""Negatives are other items that could have been shown, with label 0 and nothing else."""

import numpy as np
import polars as pl
import pytest

from tests.training import toy
from training import build
from training.datasets.report import Report
from training.datasets.tables import Tables
from training.errors import DataError


def test_negatives_stand_beside_their_event_with_label_0_and_nothing_else():
    rows = [{**row, "impression": None} for row in toy.log() if row["click"]]
    dataset = toy.build(rows, toy.settings(events={"negatives": 3}))
    sizes = np.diff(dataset.requests.starts)
    assert (sizes == 4).all()
    first = dataset.requests.starts[:-1]
    drawn = np.setdiff1d(np.arange(len(dataset.rows)), first)
    assert (dataset.labels["click"][first] == 1).all()
    assert (dataset.labels["click"][drawn] == 0).all()
    assert (dataset.rows[drawn] != np.repeat(dataset.rows[first], 3)).all()
    assert np.isnan(dataset.labels["dwell"][drawn]).all()
    assert np.isnan(dataset.labels["match"][drawn]).all()
    assert (dataset.labels["time"][drawn] == -1).all()
    assert {dataset.item_ids[item] for item in dataset.rows[drawn]} <= {row["item"] for row in rows}
    assert len(dataset.histories.items) == sum(len(row["events"]) for row in rows if row["user"])


def test_negatives_are_drawn_alike_every_time_and_otherwise_with_another_seed():
    rows = [{**row, "impression": None} for row in toy.log() if row["click"]]
    one, again, other = (
        toy.build(rows, toy.settings(events={"negatives": 3}, training={"seed": seed})) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one.rows, again.rows)
    assert (one.rows != other.rows).any()


def test_impressions_get_no_negatives():
    np.testing.assert_array_equal(toy.made(events={"negatives": 3}).rows, toy.made().rows)


def launched(log, out, negatives=3):
    """The log's clicks with negatives; items are out since `out`, by number."""
    rows = [{**row, "impression": None} for row in log if row["click"]]
    chosen = toy.settings(events={"negatives": negatives})
    published = pl.Series("published", [out.get(number) for number in range(toy.ITEMS)], dtype=pl.Float64)
    found = toy.tables(rows, chosen)
    return build.build(chosen, Tables(found.items.with_columns(published), found.events, None, Report()))


def test_items_that_are_not_out_yet_are_not_drawn():
    times = sorted({row["time"] for row in toy.log()})
    middle = times[len(times) // 2]
    dataset = launched(toy.log(), dict.fromkeys(range(6), middle))
    first = dataset.requests.starts[:-1]
    drawn = np.setdiff1d(np.arange(len(dataset.rows)), first)
    when = dataset.requests.times[dataset.requests.owners[drawn]]
    assert set(dataset.rows[drawn][when < middle]) == set(range(6, toy.ITEMS))
    assert set(dataset.rows[drawn][when >= middle]) == set(range(toy.ITEMS))
    assert (dataset.rows[drawn] != dataset.rows[first][dataset.requests.owners[drawn]]).all()


def test_where_nothing_else_is_out_nothing_is_drawn():
    last = max(row["time"] for row in toy.log())
    dataset = launched(toy.log(), dict.fromkeys(range(1, toy.ITEMS), last + 1.0))
    sizes = np.diff(dataset.requests.starts)
    items = dataset.rows[dataset.requests.starts[:-1]]
    assert set(sizes[items == 0]) == {1}
    assert set(sizes[items != 0]) == {4}
    assert set(np.delete(dataset.rows, dataset.requests.starts[:-1])) == {0}


def test_a_log_of_one_item_has_no_negatives():
    rows = [{"user": "u", "item": "i1", "time": float(at), "click": 1.0} for at in range(20)]
    with pytest.raises(DataError, match="the log names one item only"):
        toy.build(rows, toy.settings(events={"negatives": 1}))
