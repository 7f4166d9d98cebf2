"""What the heads say of n candidates, and the form in which it is served.

A binary task is served as its probability, a regression as its value, a task with a clock as the
probability of the local time bucket of the moment; other classes as {class: probability} of the
likeliest five; quantiles as {quantile: value}, ascending.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, repeat
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.errors import ModelFailure
from app.slate import Slate
from model_store.clock import Clock, Times
from model_store.fusion import Fusion, Ranges, Scores
from model_store.manifest import ClockKind, Manifest, Task
from model_store.parts import Rows

TOP_CLASSES = 5
FEW = 128  # scores that are sorted sooner than the greatest of them are found
DECIMALS = 6
SCORE = "score"

Outputs = NDArray[np.float32]
Values = TypeVar("Values", Outputs, Scores)
Buckets = Mapping[ClockKind, Rows]  # the local time bucket of each moment, (n,), or (1,) if it is the same


class Ranked(NamedTuple):
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


def bodies(items: Sequence[Ranked]) -> list[dict[str, Any]]:
    """The items of one answer as JSON: explained, all of them or none."""
    if items and items[0].contributions is not None:
        return [item.body() for item in items]
    return [{"item_id": item, "score": score, "tasks": tasks} for item, score, tasks, _, _ in items]


@dataclass(frozen=True)
class Named:
    """Numbers (k, m) by the names at places (k, m), row by row."""

    names: Sequence[str]
    places: Rows
    numbers: Scores

    def rows(self) -> list[dict[str, float]]:
        """As dictionaries."""
        return [
            dict(zip([self.names[place] for place in places], numbers, strict=True))
            for places, numbers in zip(self.places.tolist(), self.numbers.tolist(), strict=True)
        ]


Column = Scores | Named


class Form:
    """Tasks side by side in rows of outputs: where the columns of each begin, and how they are served."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        begins = accumulate((task.width for task in tasks), initial=0)
        self.tasks = {task.name: task for task in tasks}
        self.begins = dict(zip(self.tasks, begins, strict=False))
        self.width = sum(task.width for task in tasks)

    def values(self, name: str, outputs: Values, buckets: Buckets) -> Values:
        """The one number of a scalar task in rows of outputs (n, width), (n,)."""
        clock, begin = self.tasks[name].clock, self.begins[name]
        if clock is None:
            return outputs[:, begin]
        chosen = begin + buckets[clock]
        return outputs[:, chosen[0]] if len(chosen) == 1 else outputs[np.arange(len(outputs)), chosen]

    def check(self, outputs: Outputs) -> None:
        """Raises ModelFailure if a number is not finite."""
        if np.isfinite(outputs).all():
            return
        column = int(np.flatnonzero(~np.isfinite(outputs).all(axis=0))[0])
        name = max((begin, name) for name, begin in self.begins.items() if begin <= column)[1]
        raise _senseless(name)

    def columns(self, outputs: Outputs, names: Sequence[str], buckets: Buckets) -> dict[str, Column]:
        """Rows (k, width) as served, a column a task."""
        self.check(outputs)
        rows = outputs.astype(np.float64).round(DECIMALS)
        return {name: self._column(self.tasks[name], outputs, rows, buckets) for name in names}

    def served(self, outputs: Outputs, names: Sequence[str], buckets: Buckets) -> list[dict[str, Any]]:
        """The same, row by row."""
        columns = [
            column.rows() if isinstance(column, Named) else column.tolist()
            for column in self.columns(outputs, names, buckets).values()
        ]
        rows = zip(*columns, strict=True) if columns else repeat((), len(outputs))
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _column(self, task: Task, outputs: Outputs, rows: Scores, buckets: Buckets) -> Column:
        if task.scalar:
            return self.values(task.name, rows, buckets)
        part = slice(self.begins[task.name], self.begins[task.name] + task.width)
        if task.quantiles:
            places = np.broadcast_to(np.arange(task.width), (len(rows), task.width))
            return Named(task.levels, places, rows[:, part])
        best = np.argsort(-outputs[:, part], axis=1, kind="stable")[:, :TOP_CLASSES]
        return Named(task.classes, best, np.take_along_axis(rows[:, part], best, axis=1))


class Outcomes:
    """Reads what the heads of one bundle say; `online`: their tasks in the order of their columns."""

    def __init__(self, manifest: Manifest, online: Sequence[Task], clock: Clock) -> None:
        self._online = Form(online)
        self._form = Form([*online, *manifest.text_tasks])
        self._names = tuple(task.name for task in manifest.answered)
        self._kinds = {task.clock for task in online if task.clock is not None}
        self._clock = clock
        self._ranges = lru_cache(maxsize=64)(self._ranged)

    def buckets(self, now: Times) -> dict[ClockKind, Rows]:
        """The local time buckets of moments (G,) that the tasks read."""
        return {kind: self._clock.bucket(now, kind) for kind in self._kinds}

    def fuse(self, outputs: Outputs, slate: Slate, fusion: Fusion, buckets: Buckets) -> "Fused":
        """One score a candidate, from the heads' outputs (n, W). Raises ModelFailure if one is not finite."""
        self._online.check(outputs)
        values = np.empty((len(fusion.names), len(slate)))
        for place, name in enumerate(fusion.names):
            alone = self._form.begins[name] - self._online.width
            values[place] = self._online.values(name, outputs, buckets) if alone < 0 else slate.output(alone)
            if alone >= 0 and not np.isfinite(values[place]).all():
                raise _senseless(name)
            if given := self._form.tasks[name].given:
                values[place] *= self._online.values(given, outputs, buckets)
        return Fused(self, outputs, slate, buckets, fusion, self._ranges(fusion.names).unit(values))

    def served(self, outputs: Outputs, slate: Slate, picks: Rows, buckets: Buckets) -> list[dict[str, Any]]:
        """What is answered of the picked candidates."""
        both = np.concatenate([outputs[picks], slate.outputs(picks)], axis=1)
        picked = {kind: each if len(each) == 1 else each[picks] for kind, each in buckets.items()}
        return self._form.served(both, self._names, picked)

    def columns(self, outputs: Outputs, slate: Slate, buckets: Buckets) -> dict[str, Column]:
        """What is answered of all candidates, a column a task."""
        both = np.concatenate([outputs, slate.columns.outputs.take(slate.places, axis=0)], axis=1)
        return self._form.columns(both, self._names, buckets)

    def _ranged(self, names: tuple[str, ...]) -> Ranges:
        return Ranges([self._form.tasks[name] for name in names])


class Fused:
    """Candidates with one score each."""

    def __init__(
        self,
        outcomes: Outcomes,
        outputs: Outputs,
        slate: Slate,
        buckets: Buckets,
        fusion: Fusion,
        mapped: Scores,
    ) -> None:
        self._outcomes, self._outputs, self._slate, self._buckets = outcomes, outputs, slate, buckets
        self._fusion, self._mapped = fusion, mapped
        self.scores = fusion.score(mapped)

    def top(self, k: int, among: slice = slice(None)) -> Rows:
        """The k best of some by score, best first; of equals the one given first."""
        scores = self.scores[among]
        if len(scores) <= max(k, FEW):
            best = (-scores).argsort(kind="stable")[:k]
        else:
            chosen = _greatest(scores, k)
            best = chosen[(-scores[chosen]).argsort(kind="stable")]
        return best + (among.start or 0)

    def columns(self) -> dict[str, Column]:
        """All candidates in order as served, a column a task, and `score`."""
        tasks = self._outcomes.columns(self._outputs, self._slate, self._buckets)
        return {**tasks, SCORE: np.round(self.scores, DECIMALS)}

    def ranked(self, picks: Rows, *, explain: bool = False) -> list[Ranked]:
        """The picked candidates, in that order, as served."""
        tasks = self._outcomes.served(self._outputs, self._slate, picks, self._buckets)
        scores = self.scores[picks].round(DECIMALS).tolist()
        ids = self._slate.named(picks.tolist())
        if not explain:
            return list(map(Ranked, ids, scores, tasks))
        shares = self._fusion.contributions(self._mapped[:, picks])
        parts = zip(*(part.tolist() for part in shares.values()), strict=True)
        told = [dict(zip(shares, part, strict=True)) for part in parts]
        return list(map(Ranked, ids, scores, tasks, told))


def _senseless(name: str) -> ModelFailure:
    return ModelFailure(f"task {name} gave a number that is not finite; verify the bundle")


def _greatest(scores: Scores, k: int) -> Rows:
    """The k greatest, in the order given; of those equal to the least of them, the ones given first."""
    least = np.partition(scores, -k)[-k]
    (above,), (equal,) = (scores > least).nonzero(), (scores == least).nonzero()
    return np.concatenate([above, equal[: k - len(above)]])
