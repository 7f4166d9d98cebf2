"""Fit each head's calibration on the validation part and put it into the readout.

Platt scaling for binary tasks (scale > 0: ranking stays as it is), one temperature for multiclass ones,
the least-squares line for regressions: a head that learned from few labels is drawn back to the mean.
Quantiles are shifted, each by itself, until as many labels lie below as they say.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from model_store.manifest import Task
from training.calibration import conformal, temperature, temperature_multiclass
from training.dataset import Dataset
from training.model.network import Network
from training.model.readout import Readout
from training.predict import Predictions, known, labels_of

ENOUGH = 50


def calibrate(network: Network, dataset: Dataset, predictions: Predictions) -> None:
    """Set the readout of every task but multilabel ones and grades; with fewer than ENOUGH labels it stays."""
    for task in dataset.tasks:
        if task.type == "multilabel":
            continue
        labels = labels_of(dataset, predictions, task.name, "validation")
        has = known(labels)
        logits = predictions.logits[task.name][has].astype(np.float64)
        if task.type == "binary":
            network.readout.set(task.name, *temperature(logits.reshape(-1), labels[has]))
        elif has.sum() < ENOUGH or task.name in network.readout.grades:
            continue
        elif task.type == "quantile":
            _shift(network.readout, task, logits, labels[has])
        elif task.type == "regression":
            target = np.log1p(labels[has]) if network.readout.log[task.name] else labels[has]
            network.readout.set(task.name, *line(logits.reshape(-1), target))
        else:
            network.readout.set(task.name, 1.0 / temperature_multiclass(logits, labels[has]), 0.0)


def _shift(readout: Readout, task: Task, logits: NDArray[np.float64], labels: NDArray[np.float64]) -> None:
    """Calibrate the quantiles of a task from logits (n, K) and labels (n,)."""
    readout.shift(task.name, [0.0] * task.width)
    levels = readout.levels(task.name, torch.from_numpy(logits)).numpy()
    targets = readout.standardised(task.name, torch.from_numpy(labels)).numpy()
    readout.shift(task.name, conformal(levels, targets, task.quantiles).tolist())


def line(values: NDArray[np.float64], targets: NDArray[np.float64]) -> tuple[float, float]:
    """Slope (0 at least) and intercept of the least-squares line through (values, targets), both (n,)."""
    spread = values.var()
    slope = (
        float(((values - values.mean()) * (targets - targets.mean())).mean() / spread) if spread > 0 else 0.0
    )
    slope = max(slope, 0.0)
    return slope, float(targets.mean() - slope * values.mean())
