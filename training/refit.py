"""Once more from the start, on what chose the epochs too: the newest rows are those that most resemble tomorrow's.

training ─▶ weights of each epoch ─▶ validation chooses one, calibrates it and finds the fusion
training + validation ─▶ as many epochs, under the same rates ─▶ what is served, calibrated as the chosen one was

Nothing is left by which these weights could be judged, but the test part.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.dataset import TRAIN, VALIDATION, Dataset
from training.model.readout import Readout
from training.study import Study


def joined(dataset: Dataset) -> Dataset:
    """The data set with its validation part in its training part."""
    requests = replace(dataset.requests, splits=_trained(dataset.requests.splits))
    alone = {name: replace(labels, splits=_trained(labels.splits)) for name, labels in dataset.alone.items()}
    return replace(dataset, requests=requests, alone=alone)


def _trained(splits: NDArray[Any]) -> NDArray[Any]:
    return np.where(splits == VALIDATION, TRAIN, splits)


class Refit(Study):
    """A study without a validation part: each epoch takes the place of the one before."""

    latest = True

    def decide(self) -> tuple[float, dict[str, Any]]:
        """Nothing is left to do it by."""
        return 0.0, {}

    def calibrate(self) -> None:
        """Nothing is left to do it by: `calibrated` does it."""


def calibrated(readout: Readout, chosen: Readout, names: Sequence[str]) -> None:
    """Calibrate tasks as the weights were that validation chose."""
    for name in names:
        readout.affine(name)[:2] = chosen.affine(name)[:2]
        if readout.types[name] == "quantile":
            readout.get_buffer(f"levels_{name}")[1] = chosen.get_buffer(f"levels_{name}")[1]
