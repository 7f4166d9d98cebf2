"""What the heads say of n candidates, and the form in which it is served.

A binary task is served as its probability, a regression as its value, a task with a clock as the
probability of the local time bucket of the moment; other classes as {class: probability} of the
likeliest five; quantiles as {quantile: value}, ascending.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import ModelFailure
from app.fusion import Fusion, Scores, unit
from model_store.clock import Clock
from model_store.manifest import Task

TOP_CLASSES = 5
DECIMALS = 6


@dataclass(frozen=True, slots=True)
class Ranked:
    """One item of an answer."""

    item_id: str
    score: float
    tasks: dict[str, Any]
    contributions: dict[str, float] | None = None
    features: dict[str, list[float]] | None = None

    def body(self) -> dict[str, Any]:
        """As JSON; contributions and features only if they were asked for."""
        body: dict[str, Any] = {"item_id": self.item_id, "score": self.score, "tasks": self.tasks}
        if self.contributions is not None:
            body["contributions"] = self.contributions
        return body if self.features is None else body | {"features": self.features}


def split(outputs: NDArray[np.float32], tasks: Sequence[Task]) -> dict[str, NDArray[np.float32]]:
    """Item-only outputs (n, W) as {task: (n, width)}."""
    ends = np.cumsum([task.width for task in tasks])
    return {task.name: outputs[:, end - task.width : end] for task, end in zip(tasks, ends, strict=True)}


class Outcome:
    """Outputs {task: (n, width)} of n candidates at one moment."""

    def __init__(self, tasks: Sequence[Task], outputs: Mapping[str, NDArray[np.float32]]) -> None:
        """Raises ModelFailure if a number is not finite."""
        self._tasks = tasks
        self._outputs = outputs
        for name, output in outputs.items():
            if not np.isfinite(output).all():
                raise ModelFailure(f"task {name} gave a number that is not finite; verify the bundle")

    def fuse(self, fusion: Fusion, clock: Clock, now: float) -> "Fused":
        """Weigh the scalar tasks."""
        values = {task.name: self._scalar(task, clock, now) for task in self._tasks if task.scalar}
        mapped = {
            task.name: unit(task, values[task.name]) for task in self._tasks if task.name in fusion.weights
        }
        return Fused(self._tasks, self._outputs, values, mapped, fusion)

    def served(self) -> list[dict[str, Any]]:
        """Each row as served, for tasks that know no moment."""
        columns = {task.name: _served(task, self._outputs[task.name]) for task in self._tasks}
        return [{name: column[n] for name, column in columns.items()} for n in range(self._rows)]

    @property
    def _rows(self) -> int:
        return max((len(output) for output in self._outputs.values()), default=0)

    def _scalar(self, task: Task, clock: Clock, now: float) -> Scores:
        column = 0 if task.clock is None else int(clock.bucket(np.array([now]), task.clock)[0])
        return self._outputs[task.name][:, column].astype(np.float64)


@dataclass(frozen=True)
class Fused:
    """The same with one score a candidate."""

    tasks: Sequence[Task]
    outputs: Mapping[str, NDArray[np.float32]]
    values: Mapping[str, Scores]
    mapped: Mapping[str, Scores]
    fusion: Fusion

    def top(self, k: int) -> NDArray[np.int64]:
        """The k best by score, best first; of equals the one given first."""
        scores = self.scores
        return np.argsort(-scores, kind="stable")[:k]

    @property
    def scores(self) -> Scores:
        """The fused score of each candidate, (n,)."""
        return self.fusion.score(self.mapped)

    def ranked(self, ids: Sequence[str], picks: NDArray[np.int64], *, explain: bool = False) -> list[Ranked]:
        """The picked candidates, in that order, as served."""
        columns = {task.name: self._served(task, picks) for task in self.tasks}
        scores = _numbers(self.scores[picks])
        shares = self.fusion.contributions({n: v[picks] for n, v in self.mapped.items()}) if explain else None
        parts = None if shares is None else {name: part.tolist() for name, part in shares.items()}
        return [
            Ranked(
                item_id=ids[pick],
                score=scores[n],
                tasks={name: column[n] for name, column in columns.items()},
                contributions=None if parts is None else {name: part[n] for name, part in parts.items()},
            )
            for n, pick in enumerate(picks.tolist())
        ]

    def _served(self, task: Task, picks: NDArray[np.int64]) -> list[Any]:
        if task.scalar:
            return _numbers(self.values[task.name][picks])
        return _served(task, self.outputs[task.name][picks])


def _served(task: Task, output: NDArray[np.float32]) -> list[Any]:
    if task.quantiles:
        rows = np.round(output.astype(np.float64), DECIMALS).tolist()
        return [dict(zip(task.levels, row, strict=True)) for row in rows]
    return [classes(task, row) for row in output] if task.classes else _numbers(output[:, 0])


def classes(task: Task, probabilities: NDArray[np.float32]) -> dict[str, float]:
    """The likeliest classes of one row (width,), likeliest first."""
    best = np.argsort(-probabilities, kind="stable")[:TOP_CLASSES]
    return dict(zip((task.classes[n] for n in best), _numbers(probabilities[best]), strict=True))


def _numbers(values: NDArray[Any]) -> list[float]:
    numbers: list[float] = np.round(values.astype(np.float64), DECIMALS).tolist()
    return numbers
