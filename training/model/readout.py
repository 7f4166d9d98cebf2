"""From logits to what is served: probabilities and natural units, calibrated, inside the graphs.

binary       sigmoid(scale · logit + shift)           Platt scaling
multiclass   softmax(scale · logits)                  temperature scaling, scale = 1 / T
multilabel   sigmoid(logits)
regression   clip(inverse(logit · std + mean))        inverse of log1p where the task asks for it
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model_store.manifest import Task
from training.sections import TaskConfig


class Readout(nn.Module):
    """One affine map and one link a task; buffers, not parameters: fitted outside of the optimiser."""

    def __init__(self, tasks: Sequence[Task], configs: dict[str, TaskConfig]) -> None:
        super().__init__()
        self.types = {task.name: task.type for task in tasks}
        self.log = {task.name: configs[task.name].transform == "log1p" for task in tasks}
        for task in tasks:  # scale, shift, low, high
            self.register_buffer(f"affine_{task.name}", torch.tensor([1.0, 0.0, -torch.inf, torch.inf]))

    def affine(self, name: str) -> Tensor:
        """scale, shift, low, high of a task."""
        return self.get_buffer(f"affine_{name}")

    def set(self, name: str, scale: float, shift: float) -> None:
        """Put the calibration (or a regression's std and mean) in force."""
        self.affine(name)[:2] = torch.tensor([scale, shift])

    def bound(self, name: str, low: float, high: float) -> None:
        """Keep a regression's answers inside what was seen in training."""
        self.affine(name)[2:] = torch.tensor([low, high])

    def forward(self, name: str, logit: Tensor) -> Tensor:
        """Logits (..., w) to served values (..., w)."""
        scale, shift, low, high = self.affine(name).unbind()
        scaled = logit * scale + shift
        if self.types[name] == "multiclass":
            return torch.softmax(scaled, dim=-1)
        if self.types[name] in ("binary", "multilabel"):
            return torch.sigmoid(scaled)
        value = torch.expm1(scaled) if self.log[name] else scaled
        return torch.minimum(torch.maximum(value, low), high)
