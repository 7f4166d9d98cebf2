"""How far a service is from training: every column of the features, every task's value, and per-impression AUC."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import record
from model_store.engine import Encoded
from model_store.features import FeatureSet
from model_store.manifest import Task
from model_store.names import parse
from training import ranking
from training.dataset import Dataset
from training.export import golden
from training.predict import Predictions

BOUNDS = {"count": 0.0, "rate": 1e-6}  # of a feature's columns, by kind; the others are reported
SCORES = 1e-4  # of a task's value, as a share of its range


@dataclass(frozen=True)
class Offline:
    """What training has: the data set, the predictions of its test part, and the items as they ship."""

    dataset: Dataset
    predictions: Predictions
    items: list[Encoded]

    def value(self, task: Task, row: int) -> Any:
        """What a task says of a candidate row: a number, or all numbers by name."""
        if task.online:
            values = self.predictions.values[task.name][np.searchsorted(self.predictions.rows, row)]
        else:
            values = self.items[self.dataset.rows[row]].outputs[task.name]
        if task.classes and not task.clock:
            return dict(zip(task.classes, values.tolist(), strict=True))
        return golden.served(task, values, self.dataset, _time(self.dataset, row))


@dataclass(frozen=True)
class Online:
    """What the service answered, beside the rows (n,) that it answered for."""

    rows: NDArray[np.int64]
    features: NDArray[np.float32]
    tasks: list[dict[str, Any]]


def compare(offline: Offline, online: Online) -> dict[str, Any]:
    """Largest differences by kind of feature and by task, and per-impression AUC both ways."""
    dataset = offline.dataset
    columns = FeatureSet(dataset.features, dataset.clock).columns
    gaps = np.abs(online.features - dataset.context[online.rows])
    kinds: dict[str, dict[str, float]] = {}
    for place, written in enumerate(columns):
        kind = _kind(written)
        held = kinds.setdefault(kind, {"columns": 0, "largest": 0.0, "differing": 0.0, "other than 0": 0.0})
        held["columns"] += 1
        held["largest"] = max(held["largest"], float(gaps[:, place].max()))
        held["differing"] += float((gaps[:, place] > 0).mean())
        held["other than 0"] += float((online.features[:, place] != 0).mean())
    for held in kinds.values():
        for share in ("differing", "other than 0"):
            held[share] /= held["columns"]
    answered = [task for task in dataset.tasks if task.inputs not in ("text", "user")]  # of an item
    return {
        "features": kinds,
        "tasks": {task.name: _differences(task, offline, online) for task in answered},
        "auc": _aucs(offline, online),
    }


def _differences(task: Task, offline: Offline, online: Online) -> dict[str, float]:
    wide = task.high - task.low if task.type in ("regression", "quantile") else 1.0
    found = []
    for row, said in zip(online.rows.tolist(), online.tasks, strict=True):
        ours, theirs = offline.value(task, row), said[task.name]
        pairs = [(ours[key], theirs[key]) for key in theirs] if isinstance(theirs, dict) else [(ours, theirs)]
        found.append(max(abs(one - other) for one, other in pairs) / wide)
    return {"largest": max(found), "mean": float(np.mean(found))}


def _aucs(offline: Offline, online: Online) -> dict[str, dict[str, float]]:
    """Of the binary tasks that rank an impression."""
    dataset, found = offline.dataset, {}
    groups = dataset.requests.owners[online.rows]
    for task in dataset.tasks:
        if task.type == "binary" and task.online:
            labels = dataset.labels[task.name][online.rows].astype(np.float64)
            known = ~np.isnan(labels)
            ways = {
                "offline": np.array([offline.value(task, row) for row in online.rows.tolist()]),
                "online": np.array([said[task.name] for said in online.tasks]),
            }
            scored = {
                way: ranking.evaluate(labels[known], scores[known], groups=groups[known])
                for way, scores in ways.items()
            }
            found[task.name] = {way: each["auc"] for way, each in scored.items()}
            found[task.name]["impressions"] = scored["online"]["impressions"]
    return found


def _kind(written: str) -> str:
    name = parse(written)
    return f"list:{name.kind}" if name.listed else name.kind


def _time(dataset: Dataset, row: int) -> float:
    return float(dataset.requests.times[dataset.requests.owners[row]])


def broken(compared: dict[str, Any]) -> list[str]:
    """Every bound that does not hold, in words."""
    limits = [("feature", kind, held["largest"], BOUNDS[kind])
              for kind, held in compared["features"].items() if kind in BOUNDS]  # fmt: skip
    limits += [("task", name, held["largest"], SCORES) for name, held in compared["tasks"].items()]
    return [f"{what} {name}: {seen:.3g} > {most:g}" for what, name, seen, most in limits if not seen <= most]


def told(compared: dict[str, Any], effort: dict[str, float], failures: Sequence[str]) -> str:
    """The tables."""
    kinds, tasks, aucs = compared["features"], compared["tasks"], compared["auc"]
    features = [
        (kind, held["columns"], held["other than 0"], held["largest"], held["differing"], _bound(kind))
        for kind, held in kinds.items()
    ]
    return "".join([
        record.table(["feature", "columns", "not 0", "largest difference", "differing", "bound"], features),
        record.table(["task", "largest difference, of its range", "mean", "bound"],
                     [(name, held["largest"], held["mean"], SCORES) for name, held in tasks.items()]),
        record.table(["task", "per-impression AUC offline", "online", "impressions"],
                     [(name, f"{held['offline']:.8f}", f"{held['online']:.8f}", held["impressions"])
                      for name, held in aucs.items()]),
        record.table(list(effort), [list(effort.values())]),
        "Broken: " + "; ".join(failures) + "\n" if failures else "All bounds hold.\n",
    ])  # fmt: skip


def _bound(kind: str) -> object:
    return BOUNDS.get(kind, "")
