"""How far what the heads answer has moved from what they answered on the test part of training.

The manifest has a histogram of each scalar head's values there. Of each run of the heads one candidate by chance is
counted here: it costs microseconds, and thousands of requests show the whole. Old counts fade.
"""

import random
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.labels import Label
from app.metrics import Metrics
from app.series import Level, Spread
from model_store.manifest import Manifest, Task

FEWEST = 1_000  # values before anything is said
WINDOW = 20_000  # values at which all counts are halved
EVERY = 100  # values between two sums
PRIOR = 0.5  # added to each bin: an empty one is no proof that nothing falls into it


class Drift:
    """Counts what the heads answer; `tasks`: in the order of their columns."""

    def __init__(self, manifest: Manifest, tasks: Sequence[Task], metrics: Metrics) -> None:
        self._heads = []
        self._label: Label | None = None
        column = 0
        for task in tasks:
            if task.name in manifest.histograms:
                self._heads.append(_Head(task, column, manifest.histograms[task.name], metrics))
            column += task.width

    def carry(self, label: Label | None) -> None:
        """What is counted is said under it from now on; None: nothing is counted."""
        if label != self._label:
            for head in self._heads:
                head.carry(label)
        self._label = label

    def observe(self, outputs: NDArray[np.float32]) -> None:
        """Count one of the candidates by chance, of outputs (n, W) that are finite."""
        row = outputs[int(random.random() * len(outputs))].tolist()  # noqa: S311
        for head in self._heads:
            head.count(row[head.column])


class _Head:
    """One scalar head: how often each bin of training came of late."""

    def __init__(self, task: Task, column: int, trained: dict[str, list[float]], metrics: Metrics) -> None:
        self.column = column
        self._low, self._range = task.low, (task.high - task.low) or 1.0
        self._inner = trained["edges"][1:-1]  # what lies outside is of the first or the last bin
        self._shares = _smooth(np.array(trained["shares"]) * WINDOW)
        self._counts = [0.0] * len(trained["shares"])
        self._seen = 0
        self._name, self._metrics = task.name, metrics
        self._said: tuple[Spread, Level] | None = None

    def carry(self, label: Label | None) -> None:
        if self._said:
            self._said[1].set(0.0)
        said = (self._name, label)
        self._said = (
            (self._metrics.values.labels(*said), self._metrics.drift.labels(*said)) if label else None
        )

    def count(self, value: float) -> None:
        said = self._said  # another thread may change it
        if said is None:
            return
        values, drift = said
        values.observe((value - self._low) / self._range)
        self._counts[bisect_right(self._inner, value)] += 1.0
        self._seen += 1
        if self._seen >= FEWEST and self._seen % EVERY == 0:
            drift.set(index(_smooth(np.array(self._counts)), self._shares))
        if self._seen == WINDOW:
            self._counts = [count / 2.0 for count in self._counts]
            self._seen //= 2


def index(now: NDArray[np.float64], before: NDArray[np.float64]) -> float:
    """The population stability index of shares (b,): 0 if they are equal, above 0.25 they are commonly called moved.

    Siddiqi, Credit Risk Scorecards, 2006.
    """
    return float(((now - before) * np.log(now / before)).sum())


def _smooth(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Counts (b,) as shares, none of them 0."""
    return np.asarray((counts + PRIOR) / (counts.sum() + PRIOR * len(counts)))
