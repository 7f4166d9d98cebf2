"""Time windows, cut into buckets: what "in the last hour" means on both sides.

A window of 1 h is twelve buckets of 5 min on the clock's grid: the one that `now` lies in, and the eleven before it.
It covers between eleven and twelve twelfths of an hour, and a counter needs twelve numbers for it instead of all
events. What lies in a bucket but at `now` or later is not counted.
"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model_store.clock import Times

BUCKETS = 12
UNITS = {"m": 60, "h": 3_600, "d": 86_400}
SHORTEST = 15 * 60  # below it, clocks that disagree by a minute would lose whole buckets


@dataclass(frozen=True)
class Window:
    """One window by its name: 15m, 1h, 6h, 24h, 7d."""

    name: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[1-9]\d{0,3}[mhd]", self.name) or self.seconds < SHORTEST:
            raise ValueError(f"{self.name!r} is no window of at least 15m; write 15m, 6h or 7d")

    @property
    def seconds(self) -> int:
        """Its length."""
        return int(self.name[:-1]) * UNITS[self.name[-1]]

    @property
    def step(self) -> float:
        """Seconds of one bucket."""
        return self.seconds / BUCKETS

    def bucket(self, times: Times) -> NDArray[np.int64]:
        """Number of the bucket that each time lies in."""
        return np.floor(times / self.step).astype(np.int64)

    def start(self, now: Times) -> Times:
        """When the window begins that is read at `now`: an event at this time or later is in it."""
        return np.asarray((self.bucket(now) - (BUCKETS - 1)) * self.step, dtype=np.float64)
