"""One table in training: its data, its network, and what a step and an epoch of it are.

A run is of one study, or of several that share a text encoder: each has its own users, heads, split and balance.
"""

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.balance.made import made
from training.batches import Batches
from training.calibrate import calibrate
from training.dataset import Dataset
from training.errors import ConfigError, Diverged
from training.evaluate import LOWER_IS_BETTER, measure
from training.losses import Losses
from training.means import Means
from training.model.batch import Batch, Shared
from training.model.network import Network
from training.predict import labels_of, predict, represent
from training.run import Run
from training.sections import RETRIEVAL
from training.team import SOLO, Part, Team
from training.texts import Texts


class Study:
    """A network that learns from a data set, and writes to a run."""

    latest = False  # whether the last epoch is the best whatever it reaches

    def __init__(
        self, network: Network, dataset: Dataset, texts: Texts, run: Run, *, team: Team = SOLO
    ) -> None:
        self.network, self.dataset, self.texts, self.run, self.team = network, dataset, texts, run, team
        self.config = dataset.config.training
        self.batches, self.losses = Batches(dataset), prepare(network, dataset)
        self.balance = made(dataset.config, network, team)
        self._told, self._weighed = Means(), Means()

    @property
    def steps(self) -> int:
        """Batches of one pass over the training requests."""
        return self.batches.steps(self.config.batch)

    def begin(self) -> None:
        """An epoch."""
        self._told, self._weighed = Means(), Means()
        self.network.train()

    def learn(self, batch: Batch, optimiser: torch.optim.Optimizer) -> float:
        """One step; the loss before it."""
        shared = self.network.shared(batch, self.texts.pooled(batch.texts))
        found = terms(self.network, self.losses, batch, shared, self.team)
        optimiser.zero_grad()
        weights = self.balance.backward(found, shared.learned)
        if (size := self.network.size(batch)) is not None:
            [whole] = self.team.losses({"factors": [Part(*size)]}).values()
            (self.config.factor_decay * whole).backward()  # type: ignore[no-untyped-call]
        self.team.gradients(self.network)
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        optimiser.step()
        self.balance.follow(partial(_again, self.network, self.losses, batch, self.texts, self.team))
        self._weighed.add(weights)
        return self._told.add({name: loss.item() for name, loss in found.items()}, self.balance.own)

    def end(self) -> tuple[float, dict[str, Any]]:
        """The number that decides of an epoch, the same in the whole team, and what the first logs of it."""
        self.balance.turn()
        value, record = self.judged()
        told = {"loss": self._told.total, "losses": self._told.means, "weights": self._weighed.means}
        return value, {**told, "decides": value, **record}

    def judged(self) -> tuple[float, dict[str, Any]]:
        """The number by which the network is judged as it is, the same in the whole team, and what it is of."""
        value, record = 0.0, dict[str, Any]()
        if self.team.leads:
            value, record = self.decide()
        return self.team.same(torch.tensor(value, dtype=torch.float64)).item(), record

    def decide(self) -> tuple[float, dict[str, Any]]:
        """The number by which an epoch is the best, and what validation tells."""
        return validate(self.network, self.dataset, self.texts, self.losses)

    def calibrate(self) -> None:
        """Fit the readout on the validation part."""
        represented = represent(self.network, self.dataset, self.texts, "validation")
        said = predict(self.network, self.dataset, represented, "validation")
        calibrate(self.network, self.dataset, said)


def prepare(network: Network, dataset: Dataset) -> Losses:
    """Scales of the losses from the training labels."""
    losses = Losses(dataset.tasks, dataset.config.tasks, network.readout)
    train = dataset.select("train")
    for name, labels in dataset.labels.items():
        losses.prepare(name, labels[train])
    for name, wanted in dataset.interests.items():
        losses.prepare(name, wanted[dataset.requests.of("train")])
    for name, alone in dataset.alone.items():
        losses.prepare(name, alone.labels[alone.splits == 0])
    return losses


def terms(
    network: Network, losses: Losses, batch: Batch, shared: Shared, team: Team = SOLO
) -> dict[str, Tensor]:
    """The loss of each task that has labels in the team's batch and counts."""
    found = {}
    for name, logits in network.logits(batch, shared).items():
        labels = batch.alone[name][1] if name in batch.alone else batch.labels[name]
        if losses.counts(name):
            found[name] = losses.joint(name, logits, labels, batch.mask, taught=batch.taught.get(name))
    if network.search is not None:
        retrieval = network.retrieval(batch, shared)
        nothing = Part(network.search.slopes.sum() * 0.0, 0.0)
        found[RETRIEVAL] = [nothing if retrieval is None else Part(retrieval, 1.0)]
    return team.losses(found)


@torch.no_grad()
def _again(network: Network, losses: Losses, batch: Batch, texts: Texts, team: Team) -> dict[str, Tensor]:
    return terms(network, losses, batch, network.shared(batch, texts.pooled(batch.texts)), team)


@torch.no_grad()
def validate(
    network: Network, dataset: Dataset, texts: Texts, losses: Losses
) -> tuple[float, dict[str, Any]]:
    """The number that decides (less is better) and what to log: the stated metric, or the joint loss.

    Diverged if it is undefined.
    """
    value, record = _decide(network, dataset, texts, losses)
    if np.isnan(value):
        raise Diverged(
            f"{dataset.config.training.metric or 'the loss'} is undefined on the validation part: training diverged, "
            "or one class only; lower the rates, or choose another training.metric or a larger split.validation"
        )
    return value, record


def _decide(network: Network, dataset: Dataset, texts: Texts, losses: Losses) -> tuple[float, dict[str, Any]]:
    represented = represent(network, dataset, texts, "validation")
    predictions = predict(network, dataset, represented, "validation")
    config = dataset.config
    if config.training.metric:
        name, _, kind = config.training.metric.partition(":")
        found = measure(dataset, predictions, "validation")
        kind = kind or "auc"
        if kind not in found[name]:
            raise ConfigError(f"training.metric: {name} has no {kind!r}; there are: {', '.join(found[name])}")
        value = found[name][kind]
        return (value if kind in LOWER_IS_BETTER else -value), {"validation": found}
    parts = {}
    for task in dataset.tasks:
        labels = labels_of(dataset, predictions, task.name, "validation")
        if len(labels):
            target = torch.from_numpy(labels if labels.dtype == np.int64 else labels.astype(np.float32))
            logits = torch.from_numpy(predictions.logits[task.name])
            parts[task.name] = losses.task(task.name, logits, target).item()
    weights = {name: config.tasks[name].weight for name in parts}
    return sum(parts[name] * weights[name] for name in parts), {"validation_loss": parts}
