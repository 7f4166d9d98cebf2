"""What the heads say of n candidates, and the form in which it is served.

A binary task is served as its probability, a regression as its value, a task with a clock as the
probability of the local time bucket of the moment; other classes as {class: probability} of the
likeliest five; quantiles as {quantile: value}, ascending.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import ModelFailure
from app.fusion import Fusion, Ranges, Scores
from app.slate import Rows, Slate
from model_store.clock import Clock
from model_store.manifest import ClockKind, Manifest, Task

TOP_CLASSES = 5
DECIMALS = 6

Outputs = NDArray[np.float32]
Buckets = Mapping[ClockKind, int]  # the local time bucket of the moment


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


class Form:
    """Tasks side by side in rows of outputs: where the columns of each begin, and how they are served."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        begins = accumulate((task.width for task in tasks), initial=0)
        self.tasks = {task.name: task for task in tasks}
        self.begins = dict(zip(self.tasks, begins, strict=False))
        self.width = sum(task.width for task in tasks)

    def column(self, name: str, buckets: Buckets) -> int:
        """Where the one number of a scalar task stands."""
        clock = self.tasks[name].clock
        return self.begins[name] + (0 if clock is None else buckets[clock])

    def check(self, outputs: Outputs) -> None:
        """Raises ModelFailure if a number is not finite."""
        if np.isfinite(outputs).all():
            return
        column = int(np.flatnonzero(~np.isfinite(outputs).all(axis=0))[0])
        name = max((begin, name) for name, begin in self.begins.items() if begin <= column)[1]
        raise _senseless(name)

    def served(self, outputs: Outputs, names: Sequence[str], buckets: Buckets) -> list[dict[str, Any]]:
        """Each row (k, width) as served."""
        self.check(outputs)
        rows = outputs.astype(np.float64).round(DECIMALS)
        columns = [self._column(self.tasks[name], outputs, rows, buckets) for name in names]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def _column(self, task: Task, outputs: Outputs, rows: Scores, buckets: Buckets) -> list[Any]:
        if task.scalar:
            return rows[:, self.column(task.name, buckets)].tolist()  # type: ignore[no-any-return]
        part = slice(self.begins[task.name], self.begins[task.name] + task.width)
        if task.quantiles:
            return [dict(zip(task.levels, row, strict=True)) for row in rows[:, part].tolist()]
        best = np.argsort(-outputs[:, part], axis=1, kind="stable")[:, :TOP_CLASSES]
        numbers = np.take_along_axis(rows[:, part], best, axis=1).tolist()
        return [
            dict(zip([task.classes[place] for place in places], row, strict=True))
            for places, row in zip(best.tolist(), numbers, strict=True)
        ]


class Outcomes:
    """Reads what the heads of one bundle say; `online`: their tasks in the order of their columns."""

    def __init__(self, manifest: Manifest, online: Sequence[Task], clock: Clock) -> None:
        self._online = Form(online)
        self._form = Form([*online, *manifest.text_tasks])
        self._names = tuple(task.name for task in manifest.answered)
        self._kinds = {task.clock for task in online if task.clock is not None}
        self._clock = clock
        self._ranges = lru_cache(maxsize=64)(self._ranged)

    def fuse(self, outputs: Outputs, slate: Slate, fusion: Fusion, now: float) -> "Fused":
        """One score a candidate, from the heads' outputs (n, W). Raises ModelFailure if one is not finite."""
        self._online.check(outputs)
        buckets = {kind: int(self._clock.bucket(np.array([now]), kind)[0]) for kind in self._kinds}
        values = np.empty((len(fusion.names), len(slate)))
        for row, name in zip(values, fusion.names, strict=True):
            column = self._form.column(name, buckets)
            alone = column - self._online.width
            row[:] = outputs[:, column] if alone < 0 else slate.output(alone)
            if alone >= 0 and not np.isfinite(row).all():
                raise _senseless(name)
        return Fused(self, outputs, slate, buckets, fusion, self._ranges(fusion.names).unit(values))

    def served(self, outputs: Outputs, slate: Slate, picks: Rows, buckets: Buckets) -> list[dict[str, Any]]:
        """What is answered of the picked candidates."""
        both = np.concatenate([outputs[picks], slate.outputs(picks)], axis=1)
        return self._form.served(both, self._names, buckets)

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

    def top(self, k: int) -> Rows:
        """The k best by score, best first; of equals the one given first."""
        scores = self.scores
        chosen = np.arange(len(scores)) if k >= len(scores) else _greatest(scores, k)
        return chosen[np.argsort(-scores[chosen], kind="stable")]

    def ranked(self, picks: Rows, *, explain: bool = False) -> list[Ranked]:
        """The picked candidates, in that order, as served."""
        tasks = self._outcomes.served(self._outputs, self._slate, picks, self._buckets)
        scores = np.round(self.scores[picks], DECIMALS).tolist()
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
    above, equal = np.flatnonzero(scores > least), np.flatnonzero(scores == least)
    return np.concatenate([above, equal[: k - len(above)]])
