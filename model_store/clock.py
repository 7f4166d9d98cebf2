"""Local time: hours, weekdays and the buckets that histories, features and clock tasks share.

Times are unix seconds (float64, UTC) everywhere; a bundle names one time zone for its users' day.
"""

import math
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from model_store.manifest import ClockKind

Times = NDArray[np.float64]

DAYPARTS = ("night", "morning", "afternoon", "evening")  # six hours each, from midnight
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
HOURS = tuple(f"{hour:02d}" for hour in range(24))

FEW = 32  # times that are looked up one by one sooner than sorted

CLASSES: dict[ClockKind, tuple[str, ...]] = {"hour": HOURS, "daypart": DAYPARTS, "weekday": WEEKDAYS}


@lru_cache(maxsize=65_536)  # quarter hours seen lately; offsets change at whole quarters only
def _offset(zone: str, quarter: int) -> float:
    offset = datetime.fromtimestamp(quarter * 900, tz=UTC).astimezone(ZoneInfo(zone)).utcoffset()
    return offset.total_seconds() if offset else 0.0


class Clock:
    """Reads unix seconds as the local time of one zone."""

    def __init__(self, zone: str) -> None:
        self.zone = zone

    def local(self, times: Times) -> Times:
        """Seconds since the epoch as a local wall clock would count them."""
        if times.size <= FEW:
            told = [_offset(self.zone, math.floor(time / 900.0)) for time in times.ravel().tolist()]
            return np.asarray(times + np.array(told).reshape(times.shape), dtype=np.float64)
        quarters, inverse = np.unique(np.floor(times / 900.0).astype(np.int64), return_inverse=True)
        offsets = np.array([_offset(self.zone, int(quarter)) for quarter in quarters], dtype=np.float64)
        return np.asarray(times + offsets[inverse].reshape(np.shape(times)), dtype=np.float64)

    def hours(self, times: Times) -> Times:
        """Hour of the local day as a float in [0, 24)."""
        return np.asarray(self.local(times) % 86_400.0 / 3_600.0, dtype=np.float64)

    def weekdays(self, times: Times) -> Times:
        """Local day of the week as a float in [0, 7), Monday 0, the time of day as its fraction."""
        return np.asarray((self.local(times) / 86_400.0 + 3.0) % 7.0, dtype=np.float64)  # day 0: a Thursday

    def bucket(self, times: Times, kind: ClockKind) -> NDArray[np.int64]:
        """Class index of each time, in the order of `CLASSES[kind]`."""
        if kind == "weekday":
            return self.weekdays(times).astype(np.int64)
        hours = self.hours(times).astype(np.int64)
        return hours if kind == "hour" else hours // 6
