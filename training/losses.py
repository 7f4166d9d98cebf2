"""One number a task: the mean over its labelled rows, in units of what a constant predictor loses.

A row without a label has no part in it; a task without labels in a batch gives 0 of 0 rows.
Divided by the constant predictor's loss, entropies and squared errors can be added up: 1 is "learned nothing".
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from model_store.manifest import Task
from training.errors import ConfigError
from training.model.readout import Readout
from training.task import TaskConfig
from training.team import Part

FOCUS = 2.0  # focal loss' gamma: how little a row counts that is well answered
FLOOR = 0.05  # a constant predictor that is nearly right must not make its task's loss explode


class Losses:
    """The joint loss of all tasks, with scales taken from the training labels."""

    def __init__(self, tasks: Sequence[Task], configs: dict[str, TaskConfig], readout: Readout) -> None:
        self._tasks = {task.name: task for task in tasks}
        self._configs = configs
        self._readout = readout
        self._scales: dict[str, float] = {}

    def prepare(self, name: str, labels: NDArray[Any]) -> None:
        """Learn a task's scale (and the mean and spread of a number) from its training labels."""
        task, config = self._tasks[name], self._configs[name]
        if task.type == "multiclass":
            shares = np.bincount(labels[labels >= 0], minlength=task.width) / max((labels >= 0).sum(), 1)
            scale = float(-(shares * np.log(np.maximum(shares, 1e-12))).sum())
        elif task.type == "multilabel":
            has = ~np.isnan(labels).any(axis=1)
            scale = float(_entropy(labels[has].mean(axis=0)).mean()) if has.any() else 1.0
        elif task.type == "binary":
            known = labels[~np.isnan(labels)]
            scale = _surprise(float(known.mean()), config.loss) if len(known) else 1.0
        else:
            scale = self._standardise(name, labels[~np.isnan(labels)], config)
        self._scales[name] = max(scale, FLOOR)

    def known(self, name: str, labels: Tensor) -> Tensor:
        """Which labels (...) of a task are there; (n,) of labels (n, w)."""
        kind = self._tasks[name].type
        if kind == "multilabel":
            return ~torch.isnan(labels).any(dim=-1)
        return labels >= 0 if kind == "multiclass" else ~torch.isnan(labels)

    def task(self, name: str, logits: Tensor, labels: Tensor) -> Tensor:
        """Scaled mean over the labelled rows: logits (..., w), labels (...) or (..., w)."""
        task, known = self._tasks[name], self.known(name, labels)
        if not known.any():
            return logits.sum() * 0.0
        logits, labels = logits[known], labels[known]
        if task.type == "multilabel":
            return functional.binary_cross_entropy_with_logits(logits, labels) / self._scales[name]
        if task.type == "multiclass":
            return functional.cross_entropy(logits, labels) / self._scales[name]
        if task.type == "quantile":
            levels, target = self._readout.levels(name, logits), self._readout.standardised(name, labels)
            return pinball(target, levels, task.quantiles) / self._scales[name]
        logits = logits.squeeze(-1)
        if task.type == "binary":
            return self._binary(name, logits, labels) / self._scales[name]
        return self._regression(name, logits, labels) / self._scales[name]

    def counts(self, name: str) -> bool:
        """Whether a task has any weight."""
        return self._configs[name].weight > 0.0

    def joint(
        self, name: str, logits: Tensor, labels: Tensor, mask: Tensor, *, taught: Tensor | None = None
    ) -> list[Part]:
        """What a task adds to a step: its loss, and how it ranks lists of candidates (B, C) if it does.

        taught (B, C, w): logits of a network that learned it alone, NaN where there is none.
        """
        task, rows = self._tasks[name], self.known(name, labels).sum()
        if taught is None:
            parts = [Part(self.task(name, logits, labels), rows)]
        else:
            parts = self._taught(name, logits, labels, taught)
        if task.type == "binary" and task.online and self._configs[name].ranking:
            parts.append(self.ranking(logits, labels, mask))
        return parts

    def _taught(self, name: str, logits: Tensor, labels: Tensor, taught: Tensor) -> list[Part]:
        """What labels and what a teacher add: where there is one, each its share; elsewhere labels alone."""
        share, known = self._configs[name].taught, self.known(name, labels)
        told, rows = known & ~torch.isnan(taught).any(dim=-1), known.sum()
        missing = -1 if self._tasks[name].type == "multiclass" else torch.nan
        part = told.sum() / rows.clamp(min=1)
        both = (1.0 - share) * self.task(name, logits, torch.where(told, labels, missing))
        alone = self.task(name, logits, torch.where(told, missing, labels))
        apart = share * self._answer(name, logits[told], taught[told]) / self._scales[name]
        return [Part(part * both + (1.0 - part) * alone, rows), Part(part * apart, rows)]

    def _answer(self, name: str, logits: Tensor, taught: Tensor) -> Tensor:
        """Mean over rows (n, w) of the loss as if what a teacher says of them (n, w) were the labels."""
        if not len(logits):
            return logits.sum() * 0.0
        kind = self._tasks[name].type
        if kind == "multiclass":
            return functional.cross_entropy(logits, torch.softmax(taught, dim=-1))
        if kind == "binary":
            return self._binary(name, logits.squeeze(-1), torch.sigmoid(taught.squeeze(-1)))
        return self._distance(name, logits, taught)

    @staticmethod
    def ranking(logits: Tensor, labels: Tensor, mask: Tensor) -> Part:
        """Softmax over the candidates of each impression that has both kinds: logits (B, C, 1), labels (B, C).

        The mean cross-entropy of the positives, over that of a uniform guess, which is what counts as rows.
        """
        shown = (mask > 0) & ~torch.isnan(labels)
        positive = shown & (labels > 0.5)
        mixed = positive.any(dim=1) & (shown & ~positive).any(dim=1)
        if not mixed.any():
            return Part(logits.sum() * 0.0, 0.0)
        scores = logits.squeeze(-1).masked_fill(~shown, -1e4)[mixed]
        chosen = positive[mixed].to(scores.dtype)
        surprise = -(functional.log_softmax(scores, dim=1) * chosen).sum(dim=1) / chosen.sum(dim=1)
        uniform = torch.log(shown[mixed].sum(dim=1).to(scores.dtype)).sum()
        return Part(surprise.sum() / uniform, uniform)

    def _binary(self, name: str, logits: Tensor, labels: Tensor) -> Tensor:
        surprise = functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")
        if self._configs[name].loss == "focal":  # Lin et al., ICCV 2017
            surprise = surprise * (1.0 - torch.exp(-surprise)) ** FOCUS
        return surprise.mean()

    def _ordinal(self, name: str, logits: Tensor, labels: Tensor) -> Tensor:
        """The surprise at a grade: -log(σ(a) - σ(b)), which is -log σ(a) - log σ(-b) - log(1 - exp(b - a))."""
        grades = labels.new_tensor(self._readout.grades[name])
        ends = labels.new_tensor([torch.inf])
        cuts = torch.cat([-ends, self._readout.cuts(name), ends])
        place = torch.searchsorted(grades, labels)
        above, below = logits - cuts[place], logits - cuts[place + 1]
        gap = cuts[place + 1] - cuts[place]
        chance = functional.logsigmoid(above) + functional.logsigmoid(-below) + torch.log(-torch.expm1(-gap))
        return -chance.mean()

    def _grade(self, name: str, labels: NDArray[np.float64]) -> float:
        """Let the cuts begin at the grades' shares; the surprise of a constant."""
        grades = np.array(self._readout.grades[name])
        strange = np.setdiff1d(labels, grades)
        if len(strange):
            raise ConfigError(f"tasks.{name}.grades: {strange[0]:g} is a label but no grade; add it")
        shares = np.bincount(np.searchsorted(grades, labels), minlength=len(grades)) / max(len(labels), 1)
        self._readout.cut(name, torch.from_numpy(shares).float())
        if len(labels):
            self._readout.bound(name, float(labels.min()), float(labels.max()))
        return float(-(shares * np.log(np.maximum(shares, 1e-12))).sum())

    def _regression(self, name: str, logits: Tensor, labels: Tensor) -> Tensor:
        if name in self._readout.grades:
            return self._ordinal(name, logits, labels)
        return self._distance(name, logits, self._readout.standardised(name, labels))

    def _distance(self, name: str, logits: Tensor, target: Tensor) -> Tensor:
        kind = self._configs[name].loss
        if kind == "mae":
            return functional.l1_loss(logits, target)
        if kind == "huber":
            return functional.smooth_l1_loss(logits, target)
        return functional.mse_loss(logits, target)

    def _standardise(self, name: str, labels: NDArray[np.float64], config: TaskConfig) -> float:
        if config.grades:
            return self._grade(name, labels)
        values = np.log1p(labels) if config.transform == "log1p" else labels
        std = float(values.std()) if len(values) else 1.0
        self._readout.set(name, max(std, 1e-6), float(values.mean()) if len(values) else 0.0)
        if not len(labels):
            return 1.0
        self._readout.bound(name, float(labels.min()), float(labels.max()))
        if quantiles := self._tasks[name].quantiles:
            target = (values - values.mean()) / max(std, 1e-6)
            constant = np.quantile(target, quantiles)
            self._readout.begin(name, constant.tolist())
            return float(pinball(torch.from_numpy(target), torch.from_numpy(constant), quantiles))
        away = np.abs(values - np.median(values)) / max(std, 1e-6)  # of the constant that is best by distance
        smooth = np.where(away < 1.0, 0.5 * away**2, away - 0.5)
        return {"default": 1.0, "mae": float(away.mean()), "huber": float(smooth.mean())}[config.loss]


def pinball(targets: Tensor, levels: Tensor, quantiles: Sequence[float]) -> Tensor:
    """Mean over rows and quantiles of the check function (Koenker and Bassett 1978): targets (n,), levels (n, K)."""
    share = levels.new_tensor(quantiles)
    error = targets.unsqueeze(-1) - levels
    return torch.maximum(share * error, (share - 1.0) * error).mean()


def _surprise(rate: float, loss: str) -> float:
    """The least that one chance for all costs where a share `rate` is positive."""
    if loss != "focal":
        return float(_entropy(rate))
    chance = np.linspace(0.001, 0.999, 999)
    return float(
        np.min(
            -rate * (1 - chance) ** FOCUS * np.log(chance) - (1 - rate) * chance**FOCUS * np.log1p(-chance)
        )
    )


def _entropy(rate: Any) -> Any:
    rate = np.clip(rate, 1e-12, 1.0 - 1e-12)
    return -(rate * np.log(rate) + (1.0 - rate) * np.log1p(-rate))
