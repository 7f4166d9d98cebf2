"""Does any feature read the future? What comes after a moment is taken away or mixed up: nothing earlier may change.

Two ways to look. The log is cut: all later rows are removed, or happen to others, and every earlier request must
have the context that it had. And single moments are asked with nothing in the log but what is strictly earlier:
what a list says of itself, or what else happens in the same instant, must not count.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_store.counters import Layout
from model_store.features import FeatureSet
from training.build import build
from training.config import Config
from training.context import Recall, Replayed, context
from training.dataset import Dataset
from training.datasets.tables import Tables
from training.replay import Lists, Log
from training.sections import SplitConfig

CUTS = (0.2, 0.5, 0.8)  # shares of the requests at which the log is cut
MOMENTS = 20

Matrix = NDArray[np.float32]
Recalling = Callable[[Log, Lists | None, Layout, int], Recall]


def leaks(config: Config, tables: Tables, recalling: Recalling = Replayed) -> dict[str, int]:
    """By feature, how many candidates it gives another value once the future is another; empty if none does."""
    config = config.model_copy(
        update={"split": SplitConfig()}
    )  # parts by share: a date may lie in what is removed
    whole = build(config, tables)
    columns = np.array(FeatureSet(whole.features, whole.clock).columns)
    before = _context(whole, whole, recalling)
    found: dict[str, int] = {}

    def compare(seen: Matrix, expected: Matrix) -> None:
        for name in dict.fromkeys(columns[(seen != expected).any(axis=0)].tolist()):
            changed = (seen != expected)[:, columns == name].any(axis=1)
            found[name] = max(found.get(name, 0), int(changed.sum()))

    times, starts = whole.requests.times, whole.requests.starts
    for cut in np.quantile(times, CUTS):
        rows = int(starts[np.searchsorted(times, cut, side="right")])
        for events in _futures(tables.events, tables.events["time"] <= cut):
            after = build(config, replace(tables, events=events))
            compare(_context(after, whole, recalling)[:rows], before[:rows])
    for moment in np.random.default_rng(0).choice(np.unique(times), MOMENTS):
        first, last = np.searchsorted(times, moment), np.searchsorted(times, moment, side="right")
        alone = _alone(whole, tables.events.filter(pl.col("time") < moment), np.arange(first, last))
        compare(_context(alone, whole, recalling), before[starts[first] : starts[last]])
    return found


def _context(dataset: Dataset, measured: Dataset, recalling: Recalling) -> Matrix:
    """The context by the scales of the whole: those are learned, and are no feature of a moment."""
    layout = FeatureSet(measured.features, measured.clock).layout
    kept = replace(dataset, features=measured.features)
    return context(kept, recalling(kept.log, kept.lists, layout, len(kept.item_ids)))


def _futures(events: pl.DataFrame, past: pl.Series) -> list[pl.DataFrame]:
    """The log without what comes later, and with all that happening to other items and users a second after."""
    mixed = pl.col("user", "item", "events").shuffle(seed=1)
    later = events.filter(~past).with_columns(mixed, pl.col("time") + 1.0)
    return [events.filter(past), pl.concat([events.filter(past), later]).sort("time", maintain_order=True)]


def _alone(whole: Dataset, earlier: pl.DataFrame, requests: NDArray[np.int64]) -> Dataset:
    """These requests, with a log of earlier events only."""
    starts = whole.requests.starts
    cut = whole.cut(requests, [np.arange(starts[number], starts[number + 1]) for number in requests])
    lists = None
    if whole.lists:
        users, items = _numbers(earlier["user"], whole.user_ids), _numbers(earlier["item"], whole.item_ids)
        lists = Lists.read(earlier, users, items, len(whole.user_ids))
    return replace(cut, log=whole.log.until(float(whole.requests.times[requests[0]])), lists=lists)


def _numbers(column: pl.Series, ids: tuple[str, ...]) -> NDArray[np.int64]:
    numbers = {name: number for number, name in enumerate(ids)}
    return np.array([numbers.get(name, -1) for name in column], dtype=np.int64)
