"""The log as its application would have told it: events of POST /events in order of time, as training counts them.

Rows of an impression are one `view` with its items, at the time of its first row; a row of the history is an event
of its own; a number of an item, its `values`.
"""

from collections.abc import Iterator
from typing import Any

import httpx
import polars as pl

from benchmarks.serving import batches, tell
from model_store.features import FeatureSet
from model_store.moment import VIEW
from training.export.golden import moment
from training.replay import lists

Event = dict[str, Any]


class Stream:
    """Events that a service has not been told yet."""

    def __init__(self, events: pl.DataFrame, features: FeatureSet, begin: float) -> None:
        """events: the canonical table; all of it from `begin` on, unix seconds, as far as the features read it."""
        told = [*_views(events, features, begin), *_history(events, features, begin)]
        told += _values(events, features, begin)
        told.sort(key=lambda each: each[0])  # stable: of equal times the log's order
        self._times = [time for time, _ in told]
        self._events: list[Event] = [
            {"event_id": f"e{number}", **event, "timestamp": moment(time)}
            for number, (time, event) in enumerate(told)
        ]
        self._next = 0

    def __len__(self) -> int:
        return len(self._events)

    def tell(self, client: httpx.Client, before: float, *, at_once: int) -> int:
        """Post what happened strictly before a time and was not posted yet; returns how many."""
        stop = self._next
        while stop < len(self._times) and self._times[stop] < before:
            stop += 1
        for batch in batches(self._events[self._next : stop], at_once):
            if tell(client, batch):
                raise SystemExit("an event was a duplicate; the service is not new")
        told, self._next = stop - self._next, stop
        return told


def _views(events: pl.DataFrame, features: FeatureSet, begin: float) -> Iterator[tuple[float, Event]]:
    counted = VIEW in features.layout.events
    if not counted and not features.shown:
        return
    shown = lists(events).filter(pl.col("impression").is_not_null() & (pl.col("shown_at") >= begin))
    each = shown.group_by("impression", "user", maintain_order=True).agg("item", pl.col("shown_at").first())
    for user, items, time in each.select("user", "item", "shown_at").iter_rows():
        if counted or user is not None:
            yield time, {"event": VIEW, "item_ids": items, **_whose(user)}


def _history(events: pl.DataFrame, features: FeatureSet, begin: float) -> Iterator[tuple[float, Event]]:
    rows = events.filter(pl.col("time") >= begin).select("user", "item", "time", "events")
    for user, item, time, name in rows.explode("events").drop_nulls("events").iter_rows():
        if user is not None or name in features.layout.events:
            yield time, {"event": name, "item_id": item, **_whose(user)}


def _values(events: pl.DataFrame, features: FeatureSet, begin: float) -> Iterator[tuple[float, Event]]:
    columns = features.layout.latest
    rows = events.filter(pl.col("time") >= begin)
    for row in rows.select("time", "item", *(f"number:{name}" for name in columns)).iter_rows():
        time, item, *numbers = row
        told = {name: value for name, value in zip(columns, numbers, strict=True) if value is not None}
        if told:
            yield time, {"item_id": item, "values": told}


def _whose(user: str | None) -> Event:
    return {} if user is None else {"user_id": user}
