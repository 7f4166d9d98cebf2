"""May int8 or fp16 be served in place of fp32? Two questions, and both must be answered well.

1. Are the vectors the same, but for rounding? Their cosines with those of fp32, over texts of the data set. It asks
   for no labels, so that an encoder which is broken does not pass where validation is too small to tell.
2. Does a task lose more than 0.5 % of its headline metric on the validation part, beyond chance? Both precisions
   answer the same rows, so the loss has an error of its own, far below that of either metric. A loss is held against
   the encoder if, in 95 of 100 cases, no chance would have made so much of one that is within the limit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.manifest import Precision, Task
from training.dataset import Dataset
from training.evaluate import headline, logarithmic, losses, score
from training.jackknife import Mask, jackknife
from training.predict import Predictions, known, labels_of

LIMIT = 0.005  # relative loss of the headline metric
LEVEL = 0.95  # one-sided, of a loss's error
ALIKE = {
    "mean": 0.99,
    "least": 0.95,
}  # cosine with fp32: scales of each run had a mean of 0.9936, at no task's cost

Array = NDArray[Any]


@dataclass(frozen=True)
class Compared:
    """One task's labelled rows as two precisions answer them: labels (n,) or (n, C), values (n, w).

    requests (n,): whose each row is, None if each is one of its own; logarithm: whether it is learned by logarithm.
    """

    task: Task
    labels: Array
    before: Array
    after: Array
    requests: NDArray[np.int64] | None = None
    logarithm: bool = False

    def losing(self) -> dict[str, Any]:
        """The metric, both its values, the loss as a share, its standard error, and the least that is no chance."""
        whole = self._metrics(self.before, slice(None))
        name = headline(self.task, whole)
        before, after = whole[name], self._metrics(self.after, slice(None)).get(name, np.nan)
        told = {"metric": name, "before": before, "after": after}
        if np.isnan(before):  # undefined on so few rows
            return told | {"loss": 0.0, "error": np.nan, "least": 0.0}
        loss = losses(name, before, after)
        units = np.arange(len(self.labels)) if self.requests is None else self.requests
        error = jackknife(units, lambda rows: self._loss(name, rows))
        chance = error.margin(LEVEL)
        # where nothing is known of chance, nothing is forgiven for it
        return told | {"loss": loss, "error": error.value, "least": float(loss - np.nan_to_num(chance))}

    def _loss(self, name: str, rows: Mask) -> float:
        before, after = (
            self._metrics(values, rows).get(name, np.nan) for values in (self.before, self.after)
        )
        return losses(name, before, after)

    def _metrics(self, values: Array, rows: Mask | slice) -> dict[str, float]:
        if self.logarithm:
            return logarithmic(self.task, self.labels[rows], values[rows])
        return score(
            self.task, self.labels[rows], values[rows], None if self.requests is None else self.requests[rows]
        )


def compare(dataset: Dataset, fp32: Predictions, small: Predictions) -> list[Compared]:
    """Every task on the validation part."""
    found = []
    for task in dataset.tasks:
        labels = labels_of(dataset, fp32, task.name, "validation")
        has = known(labels)
        requests = dataset.requests.owners[fp32.rows][has] if task.online else None
        before, after = (side.values[task.name][has] for side in (fp32, small))
        logarithm = dataset.config.tasks[task.name].transform == "log1p"
        found.append(Compared(task, labels[has], before, after, requests, logarithm))
    return found


def alike(ours: Array, theirs: Array) -> dict[str, float]:
    """Mean and least cosine of unit vectors (n, d) with others of the same texts."""
    cosines = np.einsum("nd,nd->n", ours, theirs, dtype=np.float64)
    return {"mean": float(cosines.mean()), "least": float(cosines.min())}


def judge(
    compared: list[Compared], cosines: Mapping[str, float], precision: Precision = "int8"
) -> dict[str, Any]:
    """The verdict: what was found of each task and of the vectors, whether it may ship, and why."""
    tasks = {}
    for one in compared:
        found = one.losing()
        named = {"metric": found["metric"], "fp32": found["before"], precision: found["after"]}
        rest = {name: found[name] for name in ("loss", "error", "least")}
        tasks[one.task.name] = {**named, **rest, "passed": bool(found["least"] <= LIMIT)}
    worst = max(tasks, key=lambda name: _badness(tasks[name]))
    near = all(cosines[name] >= floor for name, floor in ALIKE.items())
    return {
        "passed": near and all(task["passed"] for task in tasks.values()),
        "limit": LIMIT,
        "level": LEVEL,
        "worst": worst,
        "reason": _lost(worst, tasks[worst]) if near else _strayed(cosines),
        "cosine": {**cosines, "floor": ALIKE},
        "tasks": tasks,
    }


def _badness(found: Mapping[str, Any]) -> tuple[bool, float]:
    """Those that do not pass come first; a loss that is no number is the greatest."""
    return not found["passed"], float(np.nan_to_num(found["loss"], nan=np.inf))


def _lost(name: str, found: Mapping[str, Any]) -> str:
    said = f"{name} loses {found['loss']:.2%} of its {found['metric']}, the limit is {LIMIT:.1%}"
    if np.isnan(found["error"]):
        return said
    return f"{said}, and {found['loss'] - found['least']:.2%} may be chance"


def _strayed(cosines: Mapping[str, float]) -> str:
    return (
        f"the vectors' cosine with those of fp32 is {cosines['mean']:.4f} in the mean and {cosines['least']:.4f} at "
        f"the least, the floors are {ALIKE['mean']} and {ALIKE['least']}"
    )
