"""Means of named numbers over the steps of an epoch, each over the steps that had it."""

from collections import defaultdict
from collections.abc import Mapping


class Means:
    """Numbers by name; `total` is the mean over all steps of their weighted sum."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = defaultdict(float)
        self._counts: dict[str, int] = defaultdict(int)
        self._steps, self._whole = 0, 0.0

    def add(self, found: Mapping[str, float], weights: Mapping[str, float] | None = None) -> float:
        """Those of one step; their sum."""
        for name, value in found.items():
            self._sums[name] += value
            self._counts[name] += 1
        whole = sum(value * (weights or {}).get(name, 1.0) for name, value in found.items())
        self._steps, self._whole = self._steps + 1, self._whole + whole
        return whole

    @property
    def means(self) -> dict[str, float]:
        """Of each name."""
        return {name: value / self._counts[name] for name, value in self._sums.items()}

    @property
    def total(self) -> float:
        """Of the sums."""
        return self._whole / max(self._steps, 1)
