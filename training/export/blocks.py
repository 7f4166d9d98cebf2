"""The first layer's weights as the scorer's graphs hold them: cut into what the experts read, and the rest.

experts   E · hidden columns; each kind of task has its own values
rest      for each task how far the gates of the other experts that it sees are over that of the first: a softmax does
          not change;
          then for each task that has them the sloped dot products, as columns in which u⊙i and q⊙i add up

Where there are levels above the first layer, each kind has gates of its own, too: then the experts' part is all of
the first layer, and the dot products are the rest.

What stands in the rest belongs to one task, so all kinds share a row: where a kind sees nothing, a weight is zero.
"""

from collections.abc import Collection, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from model_store.manifest import Task
from training.model.heads import PairHeads

Matrix = NDArray[np.float64]


class Blocks:
    """Weights (in, h) as trained, but for inputs that are not scaled, and how they are cut."""

    def __init__(self, heads: PairHeads, tasks: Sequence[Task]) -> None:
        """tasks: in the order of their columns."""
        self._mix, self.tasks = heads.mix, tuple(tasks)
        self.dotted = tuple(
            task for task in tasks if task.type != "multiclass"
        )  # classes have no single direction
        self.hidden, self.mixed = heads.mix.hidden, heads.mix.experts
        levels = len(heads.mix.levels) > 0
        self.gates = heads.mix.choices - 1 if heads.mix.gated and not levels else 0
        self.width = heads.mix.width if levels else self.mixed * self.hidden
        scale, width = heads.scale, heads.width
        self.item, self.item_item = (
            _wide(scale * weight(heads.item), width),
            _wide(scale**2 * weight(heads.item_item), width),
        )
        self.user, self.query = (_wide(scale * weight(each), width) for each in (heads.user, heads.query))
        self.user_item = _wide(scale**2 * weight(heads.user_item), width)
        self.query_item = _wide(scale**2 * weight(heads.query_item), width)
        self.context = weight(heads.context)
        no_user, no_query = array(heads.no_user)[None], array(heads.no_query)[None]
        self.absent = no_user + no_query  # (1, h), always added: as if there were neither
        # added where there is one
        self.with_user, self.with_query = bias(heads.context)[None] - no_user, -no_query
        self.slopes = {task.name: array(heads.slopes(task.name)) for task in self.dotted}

    def experts(self, weights: Matrix) -> Matrix:
        """The part of the experts, (in, width)."""
        return weights[:, : self.width]

    def rest(self, weights: Matrix, kinds: Collection[str], side: int | None = None) -> Matrix:
        """The rest, for the kinds that see the input; side: whose dot products it is, 0 the user's, 1 the query's."""
        gates = [self._gates(weights, task) * (task.inputs in kinds) for task in self.tasks]
        dots = np.zeros((len(weights), len(self.dotted)))
        for column, task in enumerate(self.dotted):
            if side is not None and task.inputs in kinds:
                dots[:, column] = self.slopes[task.name][side]
        return np.concatenate([*gates, dots], axis=1)

    def _gates(self, weights: Matrix, task: Task) -> Matrix:
        begin = self.width + self._mix.choices * self._mix.names.index(task.name)
        columns = weights[:, begin : begin + 1 + self.gates]
        return columns[:, 1:] - columns[:, :1]


def array(tensor: torch.Tensor) -> Matrix:
    """As numpy's float64."""
    return tensor.detach().double().numpy()


def weight(layer: nn.Module) -> Matrix:
    """Of a linear layer, (in, out)."""
    return array(layer.get_parameter("weight")).T


def _wide(weights: Matrix, width: int) -> Matrix:
    """Weights (d, h) as (width, h): what stands behind the texts counts in dot products only."""
    return np.pad(weights, ((0, width - len(weights)), (0, 0)))


def bias(layer: nn.Module) -> Matrix:
    """Of a linear layer, (out,)."""
    return array(layer.get_parameter("bias"))


def layers(module: nn.Module) -> tuple[nn.Linear, nn.Linear]:
    """The two linear layers of a tower."""
    first, last = (layer for layer in module.children() if isinstance(layer, nn.Linear))
    return first, last
