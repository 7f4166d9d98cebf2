"""Metrics of every task on a split, for the model and for whatever else gives scores."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.manifest import Task
from training import metrics, ranking
from training.dataset import Dataset
from training.predict import Predictions, known, labels_of

Array = NDArray[Any]
Table = dict[str, dict[str, float]]  # task -> metric -> value

LOWER_IS_BETTER = {
    "log_loss", "ece", "brier", "rmse", "mae", "log_rmse", "log_mae", "pinball", "log_pinball", "coverage_error",
}  # fmt: skip
HEADLINE = {
    "binary": "auc", "multiclass": "accuracy", "multilabel": "macro_auc", "regression": "rmse", "quantile": "pinball",
}  # fmt: skip
FIRST = ("impression_auc", "log_rmse", "log_pinball")


def headline(task: Task, found: Mapping[str, float]) -> str:
    """The metric that a task is judged by: per-impression AUC where there are impressions to rank.

    Of a number that is learned by its logarithm, the error of the logarithm.
    """
    return next((name for name in FIRST if name in found), HEADLINE[task.type])


def measure(dataset: Dataset, predictions: Predictions, split: str) -> Table:
    """Every metric of every task, from what would be served."""
    found = {}
    for task in dataset.tasks:
        labels = labels_of(dataset, predictions, task.name, split)
        groups = dataset.requests.owners[predictions.rows] if task.online else None
        found[task.name] = judged(dataset, task, labels, predictions.values[task.name], groups)
        if task.type == "binary" and task.inputs in ("pair", "user_item"):
            users = dataset.requests.users[dataset.requests.owners[predictions.rows]]
            found[task.name] |= by_user(users, labels, predictions.values[task.name].reshape(-1))
    return found


def judged(
    dataset: Dataset, task: Task, labels: Array, values: Array, groups: Array | None
) -> dict[str, float]:
    """Metrics of some rows of one task; of a number that is learned by its logarithm, that one's too."""
    found = score(task, labels, values, groups)
    if dataset.config.tasks[task.name].transform == "log1p":
        found |= logarithmic(task, labels, values)
    return found


def score(task: Task, labels: Array, values: Array, groups: Array | None = None) -> dict[str, float]:
    """Metrics of one task: labels (n,) or (n, C), served values (n, w), the request of each row or None."""
    has = known(labels)
    labels, values = labels[has], values[has]
    if task.type == "multiclass":
        return metrics.multiclass(labels, values)
    if task.type == "multilabel":
        return metrics.multilabel(labels, values)
    if task.type == "quantile":
        return metrics.quantile(labels, values, task.quantiles)
    flat = values.reshape(len(values))
    if task.type == "regression":
        return metrics.regression(labels, flat)
    found = metrics.binary(labels, flat)
    if groups is not None:
        found |= impressions(groups[has], labels, flat)
    return found


def reliability(dataset: Dataset, predictions: Predictions, split: str) -> dict[str, dict[str, list[float]]]:
    """Of each binary task, what was told and what came true."""
    found = {}
    for task in dataset.tasks:
        if task.type == "binary":
            labels = labels_of(dataset, predictions, task.name, split)
            has = known(labels)
            found[task.name] = metrics.reliability(labels[has], predictions.values[task.name][has, 0])
    return found


def logarithmic(task: Task, labels: Array, values: Array) -> dict[str, float]:
    """Errors of log(1 + value), the scale on which such a task is learned: RMSE and MAE, or pinball loss."""
    found = score(task, np.log1p(labels), np.log1p(values))
    return {f"log_{name}": found[name] for name in ("rmse", "mae", "pinball") if name in found}


def by_user(users: Array, labels: Array, scores: Array) -> dict[str, float]:
    """`user_auc`: the mean AUC of the users (known, not -1) who have labels of both kinds; none if nobody has."""
    kept = known(labels) & (users >= 0)
    found = ranking.evaluate(labels[kept], scores[kept], groups=users[kept])
    return {"user_auc": found["auc"]} if found["impressions"] else {}


def impressions(groups: Array, labels: Array, scores: Array) -> dict[str, float]:
    """Per-impression metrics, or none where no impression has both a click and a pass."""
    found = ranking.evaluate(labels, scores, groups=groups)
    if not found["impressions"]:
        return {}
    renamed = {"auc": "impression_auc"}
    return {renamed.get(name, name): value for name, value in found.items()}


def retrieval(
    dataset: Dataset, predictions: Predictions, searches: Array, vectors: Array
) -> dict[str, float]:
    """Recall@k over the whole catalogue of the items that were clicked (the first main binary task).

    searches (R, d) of the requests; vectors (N, d) of the items. Items of the user's own history are not left out.
    `warm` are those that were candidates in training, `cold` the others; `popular` is what the most wanted items of
    training find.
    """
    task = next((task for task in dataset.tasks if task.type == "binary" and task.inputs == "pair"), None)
    if task is None or not len(dataset.histories.items):
        return {}
    positive = np.nan_to_num(dataset.labels[task.name][predictions.rows].astype(np.float64)) > 0.5
    owners = dataset.requests.owners[predictions.rows][positive]
    wanted = dataset.rows[predictions.rows[positive]]
    first = np.searchsorted(owners, predictions.requests)
    last = np.searchsorted(owners, predictions.requests, side="right")
    targets = [wanted[start:stop] for start, stop in zip(first, last, strict=True)]
    found = ranking.recall_at(searches, vectors, targets=targets, cuts=(10, 50, 100))
    seen, counts = _trained(dataset, task.name)
    for part, kept in (("warm", seen), ("cold", ~seen)):
        some = [each[kept[each]] for each in targets]
        if any(map(len, some)):
            found[f"recall@100 {part}"] = ranking.recall_at(searches, vectors, targets=some, cuts=(100,))[
                "recall@100"
            ]
    crowd = np.ones((len(searches), 1), dtype=np.float32)
    popular = ranking.recall_at(crowd, counts[:, None], targets=targets, cuts=(100,))
    return found | {"recall@100 popular": popular["recall@100"]}


def _trained(dataset: Dataset, name: str) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Which items (N,) were candidates in training, and how often each was wanted (N,)."""
    rows = dataset.select("train")
    size = len(dataset.item_ids)
    wanted = rows[np.nan_to_num(dataset.labels[name][rows].astype(np.float64)) > 0.5]
    seen = np.bincount(dataset.rows[rows], minlength=size) > 0
    return seen, np.bincount(dataset.rows[wanted], minlength=size).astype(np.float32)


def losses(name: str, before: float, after: float) -> float:
    """How much worse a metric is after than it was before, as a share; 0 or less if it is not."""
    worse = after - before if name in LOWER_IS_BETTER else before - after
    return worse / abs(before) if before else worse
