"""Many task scores to one: the weighted sum or the weighted product of values mapped to 0..1.

weighted_sum      Σ w·v / Σ w
weighted_product  exp(Σ w·log max(v, 1e-6) / Σ w)
"""

from collections.abc import Mapping
from dataclasses import dataclass
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

    def score(self, values: Mapping[str, Scores]) -> Scores:
        """One score (n,) in 0..1 from the mapped values (n,) of each weighted task."""
        parts = self._parts(values)
        total = np.sum(list(parts.values()), axis=0)
        return np.exp(total) if self.method == "weighted_product" else np.asarray(total)

    def contributions(self, values: Mapping[str, Scores]) -> dict[str, Scores]:
        """What each task adds to the score; a product is shared out by the tasks' parts of its logarithm."""
        parts = self._parts(values)
        if self.method == "weighted_sum":
            return parts
        total = np.sum(list(parts.values()), axis=0)
        score, share = np.exp(total), self._shares()
        whole = np.where(total == 0.0, 1.0, total)  # every value is 1: the weights alone share the score
        return {
            name: score * np.where(total == 0.0, share[name], part / whole) for name, part in parts.items()
        }

    def _parts(self, values: Mapping[str, Scores]) -> dict[str, Scores]:
        share = self._shares()
        if self.method == "weighted_product":
            return {name: share[name] * np.log(np.maximum(values[name], FLOOR)) for name in share}
        return {name: share[name] * values[name] for name in share}

    def _shares(self) -> dict[str, float]:
        total = sum(self.weights.values())
        return {name: weight / total for name, weight in self.weights.items() if weight > 0.0}


def unit(task: Task, values: Scores) -> Scores:
    """Values of a task mapped from its range to 0..1, clipped."""
    return np.clip((values - task.low) / max(task.high - task.low, 1e-12), 0.0, 1.0)


def _main(manifest: Manifest) -> Task:
    scalar = [task for task in manifest.answered if task.scalar]
    return next((task for task in scalar if task.main), scalar[0])
