"""What is counted of an item, as one record of fixed size: the same in Redis and in a bundle.

record   first   float64          time of the item's first event, 0 for none
         events  E of:  last      float64, time of the newest such event, 0 for none
                        rings     W of:  newest  uint32      bucket of the newest event
                                         counts  13 x uint32 the count of bucket b stands at b mod 13
         latest  K of:  time, value  float64, the newest value of a column of the events, NaN before any

Of events and values of 30 days ago and more nothing is told: a record that nobody wrote to since is forgotten.
A bucket that is 13 or more behind the ring's newest has lost its place: by then no window holds it.
So the order in which events come does not matter, and a record never grows.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.clock import Times
from model_store.windows import BUCKETS, Window

MEMORY = 30 * 86_400.0  # seconds that the newest event and value are remembered
SLOTS = BUCKETS + 1  # one to spare, for a writer whose clock is ahead

Records = NDArray[np.void]


def _held() -> NDArray[np.uint32]:
    """1 at the places of a ring that hold the buckets from `low` up to `high` back from the newest.

    A row for each place of the newest, low and high: (13 · 14 · 14, 13).
    """
    places, bounds = np.arange(SLOTS), np.arange(SLOTS + 1)
    back = (places[:, None] - places)[:, None, None, :] % SLOTS
    return ((back >= bounds[:, None, None]) & (back < bounds[:, None])).astype(np.uint32).reshape(-1, SLOTS)


def _row(newest: NDArray[np.int64], low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray[np.int64]:
    """The row of HELD."""
    return (newest * (SLOTS + 1) + low) * (SLOTS + 1) + high


HELD = _held()


@dataclass(frozen=True)
class Statistics:
    """What was counted of n items just before a moment, by the layout's events E, windows W and columns K.

    counts (n, E, W); last (n, E), first (n,): unix seconds, NaN for none; latest (n, K), NaN for none.
    """

    counts: NDArray[np.float64]
    last: Times
    first: Times
    latest: NDArray[np.float64]

    def moved(self, seconds: Times) -> "Statistics":
        """The same, had everything happened so much later; seconds: (1,) or (n, 1)."""
        first = self.first + seconds.reshape(-1)
        return Statistics(self.counts, self.last + seconds, first, self.latest)

    def after(self, earlier: "Statistics") -> "Statistics":
        """Both together: `earlier` ends where these begin."""
        return Statistics(
            counts=self.counts + earlier.counts,
            last=np.fmax(self.last, earlier.last),
            first=np.fmin(self.first, earlier.first),
            latest=np.where(np.isnan(self.latest), earlier.latest, self.latest),
        )


@dataclass(frozen=True)
class Layout:
    """Which events are counted in which windows, and which columns are remembered."""

    events: tuple[str, ...]
    windows: tuple[Window, ...]
    latest: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to keep of an item."""
        return not self.events and not self.latest

    @cached_property
    def dtype(self) -> np.dtype[np.void]:
        """One record, without gaps, little-endian."""
        ring = np.dtype([("newest", "<u4"), ("counts", "<u4", (SLOTS,))])
        event = np.dtype([("last", "<f8"), ("rings", ring, (len(self.windows),))])
        column = np.dtype([("time", "<f8"), ("value", "<f8")])
        fields: list[Any] = [("first", "<f8"), ("events", event, (len(self.events),))]
        return np.dtype([*fields, ("latest", column, (len(self.latest),))])

    @cached_property
    def digest(self) -> str:
        """Short name of the layout: records of one are never read as another's."""
        said = repr((self.events, [window.name for window in self.windows], self.latest, SLOTS))
        return hashlib.sha256(said.encode()).hexdigest()[:12]

    def blank(self, size: int) -> Records:
        """Records of items of which nothing is known."""
        records = np.zeros(size, dtype=self.dtype)
        records["latest"]["value"] = np.nan
        return records

    def read(self, records: Records, now: Times, before: float = np.inf) -> Statistics:
        """Records (n,) as of a moment (n,) or (1,); counts only what lies in buckets before that of `before`."""
        known = records["events"]
        rings = known["rings"]
        newest = rings["newest"].astype(np.int64)  # (n, E, W)
        current = np.stack([window.bucket(now) for window in self.windows], axis=-1)[:, None, :]
        low = newest - current  # how many buckets back from the newest the window ends
        counts = np.zeros(newest.shape)
        live = np.flatnonzero((low > -BUCKETS) & (low < SLOTS))  # of most items, most windows hold nothing
        newest, low = newest.ravel()[live], low.ravel()[live]
        high = low + BUCKETS
        if before < np.inf:
            ends = np.stack([window.bucket(np.array(before)) for window in self.windows])
            low = np.maximum(low, newest - ends[live % len(ends)] + 1)
        held = HELD.take(_row(newest % SLOTS, np.clip(low, 0, SLOTS), np.minimum(high, SLOTS)), axis=0)
        counts.ravel()[live] = np.vecdot(rings["counts"].reshape(-1, SLOTS).take(live, axis=0), held)
        oldest = (now - MEMORY).reshape(-1, 1)
        told = records["latest"]
        return Statistics(
            counts=counts,
            last=np.where(known["last"] < oldest, np.nan, _time(known["last"])),
            first=_time(records["first"]),
            latest=np.where(told["time"] < oldest, np.nan, told["value"]),
        )

    def count(self, size: int, items: NDArray[np.int64], events: NDArray[np.int64], times: Times) -> Records:
        """Records of `size` items from a log: items, events (places in `events`) and times, (m,) each."""
        records = self.blank(size)
        if not len(items) or not self.events:
            return records
        first = np.full(size, np.inf)
        np.minimum.at(first, items, times)
        records["first"] = np.where(np.isinf(first), 0.0, first)
        cells = items * len(self.events) + events
        last = np.zeros(size * len(self.events))
        np.maximum.at(last, cells, times)
        records["events"]["last"] = last.reshape(size, -1)
        for number, window in enumerate(self.windows):
            buckets = window.bucket(times)
            newest = np.zeros(len(last), dtype=np.int64)
            np.maximum.at(newest, cells, buckets)
            held = buckets > newest[cells] - SLOTS
            places = cells[held] * SLOTS + buckets[held] % SLOTS
            counts = np.bincount(places, minlength=len(last) * SLOTS)
            rings = records["events"]["rings"]
            rings["newest"][:, :, number] = newest.reshape(size, -1)
            rings["counts"][:, :, number] = counts.reshape(size, -1, SLOTS)
        return records

    def remember(self, records: Records, column: str, items: NDArray[np.int64], *, times: Times,
                 values: NDArray[np.float64]) -> None:  # fmt: skip
        """Set the newest value of a column; of two at the same time, the later in the log."""
        order = np.argsort(times, kind="stable")
        cell = records["latest"][:, self.latest.index(column)]
        cell["time"][items[order]] = times[order]
        cell["value"][items[order]] = values[order]


def layout(events: Sequence[str], windows: Sequence[str], latest: Sequence[str] = ()) -> Layout:
    """A layout from names; ValueError for a window that is none."""
    return Layout(tuple(events), tuple(map(Window, windows)), tuple(latest))


def _time(times: Times) -> Times:
    return np.where(times == 0.0, np.nan, times)
