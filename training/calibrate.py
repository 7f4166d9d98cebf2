"""Fit each head's calibration on the validation part and put it into the readout.

Platt scaling for binary tasks (scale > 0: ranking stays as it is), one temperature for multiclass ones.
"""

import numpy as np

from training.calibration import temperature, temperature_multiclass
from training.dataset import Dataset
from training.model.network import Network
from training.predict import Predictions, known, labels_of


def calibrate(network: Network, dataset: Dataset, predictions: Predictions) -> None:
    """Set the readout of every binary and multiclass task; regressions keep their mean and spread."""
    for task in dataset.tasks:
        if task.type not in ("binary", "multiclass"):
            continue
        labels = labels_of(dataset, predictions, task.name, "validation")
        has = known(labels)
        logits = predictions.logits[task.name][has].astype(np.float64)
        if task.type == "binary":
            network.readout.set(task.name, *temperature(logits.reshape(-1), labels[has]))
        elif has.sum() >= 50:
            network.readout.set(task.name, 1.0 / temperature_multiclass(logits, labels[has]), 0.0)
