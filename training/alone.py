"""One task by itself: what joint training is measured against, and what may teach it.

the task alone ─▶ what it says of the training part ─▶ beside the labels, what the joint network learns from

Born-again multi-task networks (Clark et al., ACL 2019).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from training.config import Config
from training.dataset import Dataset
from training.model.network import Network
from training.predict import predict, represent
from training.texts import Texts


def only(whole: Dataset, name: str) -> Dataset:
    """The same data for one task alone, everything else equal."""
    return replace(
        whole,
        config=_only(whole.config, name),
        tasks=tuple(task for task in whole.tasks if task.name == name),
        labels={key: value for key, value in whole.labels.items() if key == name},
        alone={key: value for key, value in whole.alone.items() if key == name},
        interests={key: value for key, value in whole.interests.items() if key == name},
        taught={},
    )


def teachers(config: Config) -> list[str]:
    """The tasks that are trained alone first, for the joint network to learn from."""
    return [name for name, task in config.tasks.items() if task.taught and task.weight]


def answers(
    network: Network, dataset: Dataset, texts: Texts, names: Sequence[str]
) -> dict[str, NDArray[np.float32]]:
    """Logits (M, w) of tasks for all candidates, from a network that knows them; NaN outside of the training part."""
    said = predict(network, dataset, represent(network, dataset, texts, "train"), "train")
    found = {}
    for name in names:
        found[name] = np.full((len(dataset.rows), said.logits[name].shape[1]), np.nan, dtype=np.float32)
        found[name][said.rows] = said.logits[name]
    return found


def _only(config: Config, name: str) -> Config:
    training = config.training
    metric = training.metric if training.metric.partition(":")[0] == name else ""
    training = training.model_copy(update={"metric": metric, "balance": "fixed"})
    own = {"given": None, "taught": 0.0}  # the whole chance, without its first factor
    task = config.tasks[name].model_copy(update=own)
    return config.model_copy(update={"tasks": {name: task}, "training": training, "retrieval": None})
