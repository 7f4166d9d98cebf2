"""A token bucket: so much a second, and so much at once."""

import time


class Bucket:
    """Full at first."""

    __slots__ = ("_burst", "_level", "_rate", "_since")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = self._level = burst
        self._since = time.monotonic()

    def take(self) -> float:
        """Take one; 0, or the seconds until there will be one."""
        now = time.monotonic()
        self._level = min(self._burst, self._level + self._rate * (now - self._since))
        self._since = now
        if self._level < 1.0:
            return (1.0 - self._level) / self._rate
        self._level -= 1.0
        return 0.0
