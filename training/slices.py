"""For whom and for what the model is good: users and items that are new, items that are shown often or seldom.

cold users   rows of requests that know nothing their user did; warm users, the others
cold items   candidates that were in no list of the training part
head, tail   of the other items the fifth that training showed most, and the rest
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.dataset import Dataset
from training.evaluate import headline, judged
from training.predict import Predictions, known, labels_of

Mask = NDArray[np.bool_]
Slices = dict[str, dict[str, dict[str, Any]]]

HEAD = 0.2  # of the items that training showed


def slices(dataset: Dataset, predictions: Predictions, split: str) -> Slices:
    """Task -> slice -> `rows` with a label and the `value` of the task's headline metric on them alone.

    NaN where a slice does not define it: per-impression AUC needs lists with both labels among the slice's own rows.
    """
    parts, found = masks(dataset, predictions.rows), Slices()
    owners = dataset.requests.owners[predictions.rows]
    for task in dataset.tasks:
        if not task.online:
            continue
        labels, values = labels_of(dataset, predictions, task.name, split), predictions.values[task.name]
        metric = headline(task, judged(dataset, task, labels, values, owners))
        found[task.name] = {}
        for name, mask in parts.items():
            rows = np.flatnonzero(mask & known(labels))
            value = np.nan
            if len(rows):
                value = judged(dataset, task, labels[rows], values[rows], owners[rows]).get(metric, np.nan)
            found[task.name][name] = {"rows": len(rows), "metric": metric, "value": float(value)}
    return found


def masks(dataset: Dataset, rows: NDArray[np.int64]) -> dict[str, Mask]:
    """Which of these candidate rows (m,) are in each slice."""
    bounds = dataset.requests.history[dataset.requests.owners[rows]]
    new = bounds[:, 1] == bounds[:, 0]
    shown = np.bincount(dataset.rows[dataset.select("train")], minlength=len(dataset.item_ids))
    order = np.argsort(-shown, kind="stable")
    often = np.zeros(len(shown), dtype=np.bool_)
    often[order[: int(np.ceil(HEAD * np.count_nonzero(shown)))]] = True
    items = dataset.rows[rows]
    cold, head = shown[items] == 0, often[items]
    return {
        "warm users": ~new,
        "cold users": new,
        "head items": head,
        "tail items": ~head & ~cold,
        "cold items": cold,
    }
