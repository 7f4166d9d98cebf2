"""From logits to what is served: probabilities and natural units, calibrated, inside the graphs.

binary       sigmoid(scale · logit + shift)           Platt scaling
multiclass   softmax(scale · logits)                  temperature scaling, scale = 1 / T
multilabel   sigmoid(logits)
regression   clip(inverse(logit · std + mean))        inverse of log1p where the task asks for it
quantile     clip(inverse(level · std + mean)), level = sort(sort(begin + logits) + shift)
grades       the expected grade: first + Σ gap to the next · sigmoid(logit - cut), cuts ascending

Sorted quantiles cannot cross and are never a worse fit (Chernozhukov et al. 2010). They begin at those of the
training labels, standardised, so that a head that says nothing says these; shift is the calibration.
A regression with grades is a cumulative link model (McCullagh 1980); its cuts begin at the grades' shares, and learn.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from model_store.manifest import Task
from training.task import TaskConfig


class Readout(nn.Module):
    """One affine map and one link a task; but for cuts these are buffers, fitted outside of the optimiser."""

    def __init__(self, tasks: Sequence[Task], configs: dict[str, TaskConfig]) -> None:
        super().__init__()
        self.types = {task.name: task.type for task in tasks}
        self.log = {task.name: configs[task.name].transform == "log1p" for task in tasks}
        self.given = {
            task.name: given
            for task in tasks
            if task.type == "binary" and (given := configs[task.name].given)
        }
        self.grades = {task.name: grades for task in tasks if (grades := configs[task.name].grades)}
        self.raw = nn.ParameterDict(
            {name: nn.Parameter(torch.zeros(len(grades) - 1)) for name, grades in self.grades.items()}
        )
        for task in tasks:  # scale, shift, low, high
            self.register_buffer(f"affine_{task.name}", torch.tensor([1.0, 0.0, -torch.inf, torch.inf]))
            if task.quantiles:  # begin, shift
                self.register_buffer(f"levels_{task.name}", torch.zeros(2, len(task.quantiles)))

    def affine(self, name: str) -> Tensor:
        """scale, shift, low, high of a task."""
        return self.get_buffer(f"affine_{name}")

    def set(self, name: str, scale: float, shift: float) -> None:
        """Put the calibration (or the std and mean of a regression or of quantiles) in force."""
        self.affine(name)[:2] = torch.tensor([scale, shift])

    def bound(self, name: str, low: float, high: float) -> None:
        """Keep answers in natural units inside what was seen in training."""
        self.affine(name)[2:] = torch.tensor([low, high])

    def begin(self, name: str, levels: Sequence[float]) -> None:
        """Let the quantiles of a task begin at these standardised levels (K,), not calibrated."""
        self.get_buffer(f"levels_{name}")[:] = torch.tensor([levels, [0.0] * len(levels)])

    def shift(self, name: str, shifts: Sequence[float]) -> None:
        """Put the calibration (K,) of a task's quantiles in force, on the standardised scale."""
        self.get_buffer(f"levels_{name}")[1] = torch.tensor(shifts)

    @torch.no_grad()
    def cut(self, name: str, shares: Tensor) -> None:
        """Let the cuts of a task begin where a logit of 0 says these shares (K,) of its grades."""
        above = (1.0 - shares.cumsum(0)[:-1]).clamp(1e-4, 1.0 - 1e-4)
        cuts = -torch.logit(above)
        self.raw[name].copy_(torch.cat([cuts[:1], cuts.diff().clamp(min=1e-3).log()]))

    def cuts(self, name: str) -> Tensor:
        """Between the grades of a task, (K - 1,), ascending."""
        first, rest = self.raw[name][:1], self.raw[name][1:]
        return torch.cat([first, rest.exp()]).cumsum(0)

    def expected(self, name: str, logit: Tensor) -> Tensor:
        """Logits (..., 1) to the expected grade (..., 1)."""
        grades = logit.new_tensor(self.grades[name])
        return grades[0] + (torch.sigmoid(logit - self.cuts(name)) * grades.diff()).sum(-1, keepdim=True)

    def levels(self, name: str, logits: Tensor) -> Tensor:
        """Logits (..., K) to standardised quantiles (..., K), ascending."""
        begin, shift = self.get_buffer(f"levels_{name}").unbind()
        return torch.sort(torch.sort(logits + begin).values + shift).values

    def standardised(self, name: str, labels: Tensor) -> Tensor:
        """Labels of a regression or of quantiles on the scale on which they are learned."""
        scale, shift, _, _ = self.affine(name).unbind()
        return ((torch.log1p(labels) if self.log[name] else labels) - shift) / scale

    def forward(self, name: str, logit: Tensor) -> Tensor:
        """Logits (..., w) to served values (..., w)."""
        scale, shift, low, high = self.affine(name).unbind()
        if self.types[name] == "quantile":
            logit = self.levels(name, logit)
        scaled = logit * scale + shift
        if self.types[name] == "multiclass":
            return torch.softmax(scaled, dim=-1)
        if self.types[name] in ("binary", "multilabel"):
            return torch.sigmoid(scaled)
        value = torch.expm1(scaled) if self.log[name] else scaled
        if name in self.grades:
            value = self.expected(name, scaled)
        return torch.minimum(torch.maximum(value, low), high)
