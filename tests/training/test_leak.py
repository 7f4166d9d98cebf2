import os
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from tests.training import toy
from training import config
from training.context import Replayed
from training.datasets import ebnerd, tables
from training.leak import leaks

DATA = Path(os.environ.get("CHORUS_DATA", "../shared/data")) / "ebnerd-demo"
DAYS = 86_400.0
COUNTED = (
    "count:view", "count:click+buy", "rate:click/view", "since:click", "again", "shown", "candidates", "share:kind",
    "item_age", "since_last", "history_size", "list:count:view", "list:since:click", "list:shown", "latest:price",
)  # fmt: skip


class Early(Replayed):
    """A leak: what is counted at a moment includes the hour that follows it."""

    def statistics(self, items, now):
        return super().statistics(items, now + 3_600.0)


class Inclusive(Replayed):
    """A leak: what happens at the very moment is counted, the impression's own rows with it."""

    def statistics(self, items, now):
        return super().statistics(items, now + 1e-3)


class Shown(Replayed):
    """A leak: lists that the user will see within the day."""

    def shown(self, users, items, now, /):
        return super().shown(users, items, now + 86_400.0)


def log():
    rows = [{**row, "number:price": float(number % 7)} for number, row in enumerate(toy.log())]
    chosen = toy.settings(features={"use": COUNTED}, events={"numbers": ["price"]})
    return chosen, toy.tables(rows, chosen)


def test_no_feature_changes_when_what_comes_later_is_removed_or_shuffled():
    assert leaks(*log()) == {}


@pytest.mark.parametrize(
    ("leak", "caught"),
    [(Early, "count:view"), (Early, "latest:price"), (Inclusive, "count:view"), (Shown, "shown")],
)
def test_a_feature_that_reads_the_future_is_caught_and_named(leak, caught):
    found = leaks(*log(), leak)
    assert found[caught] > 0
    assert "share:kind" not in found


@pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is absent; set CHORUS_DATA")
def test_no_feature_of_a_day_of_the_news_log_reads_the_future(tmp_path):
    chosen = config.read(ebnerd.convert(DATA, tmp_path))
    found = tables.read(chosen)
    begins = found.events.filter(pl.col("impression").is_not_null())["time"].min()
    day = found.events.filter(pl.col("time").is_between(begins - DAYS, begins + DAYS))
    assert leaks(chosen, replace(found, events=day)) == {}
