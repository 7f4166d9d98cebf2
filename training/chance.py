"""Rows held out at random, as ratings are in cross-validation: none comes before another.

Every request is asked after the end of the log and knows its training part, but never its own rows: they are
missing from its history, and from what was counted of their items. A user's training rows make PARTS requests; a row
so sees the user's rows of the other parts, and those of validation and test see all of them.
"""

from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.model_selection import KFold

from model_store.counters import Layout
from training.dataset import TEST, TRAIN, VALIDATION, Histories, Requests
from training.sections import SplitConfig

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PARTS = 5


def parted(events: pl.DataFrame, config: SplitConfig) -> pl.DataFrame:
    """The events with `part`, and the rows of a user that are asked for together as one `impression`."""
    generator = np.random.default_rng(config.seed)
    folds = KFold(config.folds, shuffle=True, random_state=config.seed).split(np.arange(len(events)))
    rest, test = list(folds)[config.fold]
    parts = np.full(len(events), TRAIN)
    parts[generator.permutation(rest)[: round(config.validation * len(rest))]] = VALIDATION
    parts[test] = TEST
    groups = np.where(parts == TRAIN, generator.integers(PARTS, size=len(events)), PARTS + parts)
    return events.with_columns(part=pl.Series(parts), impression=pl.Series(groups).cast(pl.String))


def hidden(requests: Requests, rows: Ints, histories: Histories, limit: int) -> tuple[Histories, Requests]:
    """Each request's own history: its user's, at the end of the log, without the items that it asks for.

    They are put behind those of the users.
    """
    kept = []
    for number, user in enumerate(requests.users):
        places = np.arange(*histories.starts[user : user + 2])
        asked = rows[requests.starts[number] : requests.starts[number + 1]]
        kept.append(places[~np.isin(histories.items[places], asked)][-limit:])
    places = np.concatenate([np.arange(len(histories.items)), *kept])
    stops = len(histories.items) + np.cumsum([len(each) for each in kept])
    bounds = np.stack([stops - [len(each) for each in kept], stops], axis=1)
    told = Histories(
        histories.items[places], histories.events[places], histories.times[places], histories.starts
    )
    end = np.nextafter(max(float(told.times.max(initial=0.0)), float(requests.times.max())), np.inf)
    return told, replace(requests, history=bounds, times=np.full(len(requests), end))


def own(shown: pl.DataFrame, layout: Layout, end: float) -> Floats:
    """How often each row is itself counted at the end of the log, (M, E, W): rows of training only."""
    events = [shown["events"].list.contains(event).to_numpy() for event in layout.events]
    happened = np.stack(events, axis=1) if events else np.zeros((len(shown), 0), dtype=bool)
    happened &= (shown["part"] == TRAIN).to_numpy()[:, None]
    times = shown["time"].to_numpy()
    within = np.stack([times >= window.start(np.array(end)) for window in layout.windows], axis=1)
    return (happened[:, :, None] & within[:, None, :]).astype(np.float64)
