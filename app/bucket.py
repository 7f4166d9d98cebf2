"""A token bucket: so much a second, and so much at once."""

import time
from math import inf


class Bucket:
    """Full at first. rate: a second; burst: at once."""

    __slots__ = ("_level", "_since", "burst", "rate")

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate
        self.burst = self._level = burst
        self._since = time.monotonic()

    def take(self, amount: float = 1.0) -> float:
        """Take so much; 0, or the seconds until there will be so much, inf: there never will."""
        now = time.monotonic()
        self._level = min(self.burst, self._level + self.rate * (now - self._since))
        self._since = now
        if self._level < amount:
            return inf if amount > self.burst else (amount - self._level) / self.rate
        self._level -= amount
        return 0.0
