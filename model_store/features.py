"""Context features of the heads: one definition, read by the replay offline and by the service.

hour          local time of day, two harmonics                     4 columns
weekday       local day of the week                                2
item_age      log hours since the item was published               2  (value, missing)
since_last    log hours since the user's newest event              2  (value, missing)
history_size  log of the number of events in the history           1
share:<name>  share of the history with the item's <name>          2  (value, missing)

A missing value is a case of its own: value 0 and a 1 beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from model_store.clock import Clock, Times

SHARE = "share:"
COLUMNS = {"hour": 4, "weekday": 2, "item_age": 2, "since_last": 2, "history_size": 1}


@dataclass(frozen=True)
class Moment:
    """What is known when candidates are scored; every array has shape (n,) or broadcasts to it.

    now, published, last_event: unix seconds, NaN where unknown; sizes: events in the history;
    shares: by attribute, NaN where the item has no value or the history is empty.
    """

    now: Times
    published: Times
    last_event: Times
    sizes: NDArray[np.float64]
    shares: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


class FeatureSet:
    """The features that a bundle declares, in order."""

    def __init__(self, names: Sequence[str], clock: Clock) -> None:
        self.names = tuple(names)
        self._clock = clock

    @property
    def width(self) -> int:
        """Columns of the matrix."""
        return sum(width(name) for name in self.names)

    @property
    def attributes(self) -> tuple[str, ...]:
        """The item attributes whose shares are wanted."""
        return tuple(name.removeprefix(SHARE) for name in self.names if name.startswith(SHARE))

    def matrix(self, moment: Moment) -> NDArray[np.float32]:
        """Features of the n candidates, shape (n, width)."""
        rows = np.broadcast(moment.now, moment.published, moment.last_event, moment.sizes).shape[0]
        columns = [column for name in self.names for column in self._columns(name, moment)]
        return np.stack([np.broadcast_to(column, rows) for column in columns], axis=1).astype(np.float32)

    def _columns(self, name: str, moment: Moment) -> list[NDArray[np.float64]]:
        if name == "hour":
            angle = self._clock.hours(moment.now) * (2.0 * np.pi / 24.0)
            return [np.sin(angle), np.cos(angle), np.sin(2 * angle), np.cos(2 * angle)]
        if name == "weekday":
            angle = np.floor(self._clock.weekdays(moment.now)) * (2.0 * np.pi / 7.0)
            return [np.sin(angle), np.cos(angle)]
        if name == "item_age":
            return _log_hours(moment.now - moment.published)
        if name == "since_last":
            return _log_hours(moment.now - moment.last_event)
        if name == "history_size":
            return [np.log1p(moment.sizes) / 4.0]
        return _optional(moment.shares[name.removeprefix(SHARE)])


def width(name: str) -> int:
    """Columns of one feature; KeyError names an unknown one."""
    return 2 if name.startswith(SHARE) else COLUMNS[name]


def _log_hours(seconds: Times) -> list[NDArray[np.float64]]:
    return _optional(np.log1p(np.maximum(seconds, 0.0) / 3_600.0) / 4.0)


def _optional(values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    missing = np.isnan(values)
    return [np.where(missing, 0.0, values), missing.astype(np.float64)]


def profile(codes: NDArray[np.int32], size: int) -> NDArray[np.float64]:
    """Share of the history's events that carry each value of an attribute.

    codes: (L, K) value indices of the history's items, -1 for none; size: number of values.
    Returns (size,), all NaN for an empty history.
    """
    length = len(codes)
    if length == 0:
        return np.full(size, np.nan)
    known = codes[codes >= 0]
    return np.asarray(np.bincount(known, minlength=size) / length, dtype=np.float64)


def shares(taste: NDArray[np.float64], codes: NDArray[np.int32]) -> NDArray[np.float64]:
    """The `profile` read at candidates' values: the best of each item's values, NaN where it has none.

    taste: (V,); codes: (n, K), -1 for none. Returns (n,).
    """
    if taste.size == 0 or codes.shape[1] == 0:
        return np.full(len(codes), np.nan)
    values = np.where(codes >= 0, taste[codes], -1.0)  # NaN of an empty history passes through
    best = values.max(axis=1)
    return np.where(best < 0.0, np.nan, best)
