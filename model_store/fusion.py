"""Many task scores to one: the weighted sum or the weighted product of values mapped to 0..1.

weighted_sum      Σ w·v / Σ w
weighted_product  exp(Σ w·log max(v, 1e-6) / Σ w)

Of a number that is given another task, such as the read time after a click, v is the expected number over everything
that is shown: P(click) · E[number | click], mapped from a range that reaches to 0, which is what no click is worth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from model_store.manifest import Manifest, Task

Scores = NDArray[np.float64]
Method = Literal["weighted_sum", "weighted_product"]

FLOOR = 1e-6


@dataclass(frozen=True)
class Fusion:
    """How much each task counts; weights are not negative and one is above zero."""

    method: Method
    weights: Mapping[str, float]

    @classmethod
    def default(cls, manifest: Manifest) -> "Fusion":
        """The bundle's own; its main task alone if it says nothing."""
        weights = manifest.fusion.weights or {_main(manifest).name: 1.0}
        return cls(manifest.fusion.method, dict(weights))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The m tasks that count."""
        return tuple(name for name, weight in self.weights.items() if weight > 0.0)

    @cached_property
    def key(self) -> tuple[object, ...]:
        """Equal for fusions that give the same scores."""
        return (self.method, *self.weights.items())

    def score(self, values: Scores) -> Scores:
        """One score (n,) in 0..1 from the mapped values (m, n) of the tasks that count."""
        total = self._parts(values).sum(axis=0)
        return np.exp(total) if self.method == "weighted_product" else np.asarray(total)

    def contributions(self, values: Scores) -> dict[str, Scores]:
        """What each task adds to the score; a product is shared out by the tasks' parts of its logarithm."""
        parts = self._parts(values)
        if self.method == "weighted_product":
            total = parts.sum(axis=0)
            whole = np.where(total == 0.0, 1.0, total)  # every value is 1: the weights alone share the score
            parts = np.exp(total) * np.where(total == 0.0, self._shares, parts / whole)
        return dict(zip(self.names, parts, strict=True))

    def _parts(self, values: Scores) -> Scores:
        if self.method == "weighted_product":
            return self._shares * np.log(np.maximum(values, FLOOR))
        return self._shares * values

    @cached_property
    def _shares(self) -> Scores:
        """(m, 1)."""
        total = sum(self.weights.values())
        return np.array([[self.weights[name] / total] for name in self.names])


class Ranges:
    """Maps values of m tasks from their ranges to 0..1."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        ends = np.array([_range(task) for task in tasks])
        self._low, self._width = ends[:, :1], np.maximum(ends[:, 1:] - ends[:, :1], 1e-12)

    def unit(self, values: Scores) -> Scores:
        """Values (m, n), clipped."""
        unit: Scores = values - self._low
        unit /= self._width
        np.maximum(unit, 0.0, out=unit)
        return np.minimum(unit, 1.0, out=unit)


def _range(task: Task) -> tuple[float, float]:
    return (min(task.low, 0.0), max(task.high, 0.0)) if task.given else (task.low, task.high)


def _main(manifest: Manifest) -> Task:
    scalar = [task for task in manifest.answered if task.scalar]
    return next((task for task in scalar if task.main), scalar[0])
