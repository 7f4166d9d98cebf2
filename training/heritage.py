"""What a run takes over from an earlier one: weights, each by the names of what it is about.

earlier run ─▶ weights ─▶ the same rows and columns of the new network ─▶ which learns on
                       └▶ what it says of the training part: beside the labels, so that it is not forgotten

Items, classes, words, features and tasks that are new begin as in any run, those that are gone are left out. So a
week of events is learned in a pass over that week. Learning without forgetting: Li and Hoiem, ECCV 2016.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from training.axes import Names, axes, names
from training.config import Config, read
from training.dataset import Dataset
from training.errors import ConfigError
from training.model.network import Network
from training.run import Run
from training.sections import ModelConfig
from training.task import ALONE, TEACHERS

FREE = {"dropout", "vector_dropout", "max_tokens"}  # keys of `model` that a later run may change
MEANT = ("type", "inputs", "clock", "transform", "loss", "grades", "quantiles", "given")  # how a task is read
OWN = ("search.shares", "readout.affine_", "readout.levels_")  # of a run's own rows, and of its calibration


@dataclass(frozen=True)
class Heritage:
    """An earlier run, by the files that it hands over."""

    files: Mapping[str, Path]

    @classmethod
    def of(cls, run: Run) -> "Heritage | None":
        """That with which a run was begun, if it was begun with one."""
        return cls(run.inherited) if run.inherited else None

    @cached_property
    def config(self) -> Config:
        """The earlier configuration."""
        return read(self.files["config.toml"])

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """All that was learned, by its name in the network."""
        found: dict[str, Tensor] = load_file(self.files["best.safetensors"])
        return found

    @cached_property
    def names(self) -> Names:
        """What the weights are about: axes.py."""
        found: Names = self._told["names"]
        return found

    @property
    def until(self) -> float:
        """The moment of the newest request that it learned from, unix seconds."""
        found: float = self._told["until"]
        return found

    def shares(self, other: "Heritage") -> bool:
        """Whether the text encoder of both is one, as in runs that were trained together."""
        ours, theirs = (
            {name: weight for name, weight in each.weights.items() if name.startswith("text.")}
            for each in (self, other)
        )
        return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)

    def check(self, config: Config) -> None:
        """ConfigError if networks of this configuration cannot go on from the earlier one."""
        for key in sorted(ModelConfig.model_fields.keys() - FREE):
            _same(f"model.{key}", getattr(config.model, key), getattr(self.config.model, key))
        for name in sorted(config.tasks.keys() & self.config.tasks.keys()):
            ours, theirs = config.tasks[name], self.config.tasks[name]
            for key in MEANT:
                _same(f"tasks.{name}.{key}", getattr(ours, key), getattr(theirs, key))
        if config.model.audience:
            raise ConfigError(
                "a run with model.audience cannot be renewed: what users tell of items has become part of these; "
                "train it anew, with `chorus-train run`"
            )

    @torch.no_grad()
    def hand(self, network: Network, dataset: Dataset, *, served: bool = False) -> None:
        """Put the weights into a network, as far as it is about the same.

        served: with their calibration, to be asked as they are; otherwise to be trained on, numbers in the units in
        which they were learned.
        """
        ours = names(network, dataset)
        for name, value in network.state_dict().items():
            if name in self.weights and (served or not name.startswith(OWN)):
                self._take(name, value, ours)
        for task, (scale, shift, *levels) in self._told["units"].items():
            if not served and task in network.readout.types:
                network.readout.set(task, scale, shift)
                if levels:
                    network.readout.begin(task, levels)
        for task in network.readout.types if not served else ():
            if f"readout.affine_{task}" in self.weights:
                self._widen(network, task)

    def reminded(self, dataset: Dataset) -> Config:
        """The configuration in which the earlier run teaches what it can, if any of that is to be remembered."""
        config, ours = dataset.config, {task.name: task for task in dataset.tasks}
        told = {
            name: task.model_copy(update={"taught": config.training.remember})
            for name, task in config.tasks.items()
            if name in self.config.tasks and task.type in TEACHERS and task.inputs not in ALONE and not task.grades
            and list(ours[name].classes) == list(self.names[f"classes of {name}"] if ours[name].classes else ())
        }  # fmt: skip
        return config.model_copy(update={"tasks": {**config.tasks, **told}})

    def anew(self, network: Network, dataset: Dataset) -> str:
        """What the earlier run does not know, for people."""
        ours = names(network, dataset)
        parts = [f"{axis}" for axis in ours if axis not in self.names]
        for axis in ("items", "context", *(axis for axis in ours if axis.startswith("classes"))):
            known = self.names.get(axis, ours[axis])
            if new := len(set(ours[axis]) - set(known)):
                parts.append(f"{new:,} of {len(ours[axis]):,} {axis}")
        return ", ".join(parts) or "nothing"

    def _take(self, name: str, value: Tensor, ours: Names) -> None:
        """Copy a weight's rows and columns that have the same names here and there; all, where they have none."""
        theirs = self.weights[name]
        about = axes(name, value.ndim)
        if any(
            not axis and here != there
            for axis, here, there in zip(about, value.shape, theirs.shape, strict=True)
        ):
            return
        both = [
            _both(ours[axis][:size], self.names.get(axis, ())) if axis else (np.arange(size),) * 2
            for axis, size in zip(about, value.shape, strict=True)
        ]
        if both:
            here, there = (np.ix_(*places) for places in zip(*both, strict=True))
            value[here] = theirs[there]
        else:
            value.copy_(theirs)

    def _widen(self, network: Network, task: str) -> None:
        """Let a number be what it was in either run."""
        _, _, low, high = network.readout.affine(task).tolist()
        _, _, least, most = self.weights[f"readout.affine_{task}"].tolist()
        network.readout.bound(task, min(low, least), max(high, most))

    @cached_property
    def _told(self) -> Any:
        return json.loads(self.files["names.json"].read_bytes())


def bequest(network: Network, dataset: Dataset) -> dict[str, Any]:
    """What a later run must know of a network that is about to learn: `names.json`."""
    readout = network.readout
    units = {
        task.name: [*readout.affine(task.name)[:2].tolist(), *_levels(network, task.name)]
        for task in dataset.tasks
        if task.type in ("regression", "quantile") and task.name not in readout.grades
    }
    learned = ("train", "validation") if dataset.config.training.refit else ("train",)
    numbers = np.concatenate([dataset.requests.of(split) for split in learned])
    until = float(dataset.requests.times[numbers].max())
    return {"names": names(network, dataset), "units": units, "until": until}


def _levels(network: Network, task: str) -> list[float]:
    if network.readout.types[task] != "quantile":
        return []
    found: list[float] = network.readout.get_buffer(f"levels_{task}")[0].tolist()
    return found


def _same(key: str, ours: object, theirs: object) -> None:
    if ours != theirs:
        raise ConfigError(
            f"{key} is {ours!r}, and {theirs!r} in the run that is to be renewed; take that, or train anew with "
            "`chorus-train run`"
        )


def _both(ours: Sequence[str], theirs: Sequence[str]) -> tuple[Any, Any]:
    """Places of the names that both have, here and there."""
    there = {name: place for place, name in enumerate(theirs)}
    pairs = [(place, there[name]) for place, name in enumerate(ours) if name in there]
    here, come = zip(*pairs, strict=True) if pairs else ((), ())
    return np.array(here, dtype=np.int64), np.array(come, dtype=np.int64)
