"""Balances that learn one number a task, each by an Adam that skips tasks that take no part.

torchjd has two of the three, but neither for absent tasks nor with a state that could be saved; the tests hold ours
against them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from training.balance.balance import Balance, Terms, values
from training.balance.gradients import rows

RATE = 0.025  # of FAMO's and of GradNorm's paper
DECAY = 1e-3  # of FAMO's
PULL = 1.5  # GradNorm's alpha: how strongly slow tasks are pulled along


class Learned(Balance):
    """A number a task, 0 at first."""

    def __init__(self, own: Mapping[str, float], decay: float = 0.0) -> None:
        super().__init__(own)
        self.numbers = {name: torch.zeros((), requires_grad=True) for name in own}
        self._adam = torch.optim.Adam(list(self.numbers.values()), lr=RATE, weight_decay=decay)

    def read(self, names: Iterable[str]) -> Tensor:
        """Numbers (n,) of these tasks."""
        return torch.stack([self.numbers[name].detach() for name in names])

    def learn(self, names: Iterable[str], gradients: Tensor) -> None:
        """One step along the gradients (n,) of these tasks' numbers; the others stay."""
        self._adam.zero_grad()
        for name, gradient in zip(names, gradients, strict=True):
            self.numbers[name].grad = gradient.clone()
        self._adam.step()

    def get_extra_state(self) -> dict[str, Any]:
        """What a resumed run needs."""
        numbers = {name: number.detach().clone() for name, number in self.numbers.items()}
        return {"numbers": numbers, "adam": self._adam.state_dict()}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        with torch.no_grad():
            for name, number in state["numbers"].items():
                self.numbers[name].copy_(number)
        self._adam.load_state_dict(state["adam"])


class Uncertainty(Learned):
    """Kendall et al., CVPR 2018: the minimum of exp(-s) L + s over s, the logarithm of a task's variance."""

    def weigh(self, losses: Terms, shared: Sequence[Tensor]) -> Tensor:  # noqa: ARG002
        """(n,)."""
        weights = torch.exp(-self.read(losses))
        self.learn(losses, 1.0 - weights * values(losses))
        return weights


class Famo(Learned):
    """Liu et al., NeurIPS 2023: all losses fall by about the same share a step, for one more forward pass."""

    def __init__(self, own: Mapping[str, float]) -> None:
        super().__init__(own, DECAY)
        self._before: dict[str, Tensor] = {}

    def weigh(self, losses: Terms, shared: Sequence[Tensor]) -> Tensor:  # noqa: ARG002
        """(n,)."""
        found = values(losses)
        self._before = dict(zip(losses, found, strict=True))
        parts = torch.softmax(self.read(losses), dim=0) / found
        return len(losses) * parts / parts.sum()

    def follow(self, again: Callable[[], Terms]) -> None:
        """The more a loss fell, the less it counts from now on."""
        if not self._before:
            return
        after = values(again())
        fell = torch.log(torch.stack(list(self._before.values()))) - torch.log(after)
        shares = torch.softmax(self.read(self._before), dim=0)
        self.learn(self._before, shares * (fell - (shares * fell).sum()))
        self._before = {}


class GradNorm(Learned):
    """Chen et al., ICML 2018: the longer a task's loss takes to fall, the longer its gradient at `shared`.

    The numbers are logarithms of the weights, whose sum over the tasks of a step stays. Tasks that no shared gradient
    goes through are not weighed.
    """

    def __init__(self, own: Mapping[str, float]) -> None:
        super().__init__(own)
        self.register_buffer("first", torch.full((len(own),), torch.nan))  # each task's first loss
        self._places = {name: place for place, name in enumerate(own)}

    def weigh(self, losses: Terms, shared: Sequence[Tensor]) -> Tensor:
        """(n,)."""
        found = rows(losses, shared)
        weights = torch.exp(self.read(losses))
        if len(found) > 1:
            norms = self.team.sum(torch.stack([row.square().sum() for row in found.values()])).sqrt()
            self._pull({name: losses[name] for name in found}, norms)
        return weights

    def _pull(self, losses: Terms, norms: Tensor) -> None:
        here = torch.tensor([self._places[name] for name in losses])
        first, now = self.get_buffer("first"), values(losses)
        first[here] = torch.where(torch.isnan(first[here]), now, first[here])
        left = now / first[here]  # the share of its first loss that a task still has
        before = torch.exp(self.read(losses))
        wanted = (before * norms).mean() * (left / left.mean()) ** PULL
        self.learn(losses, before * norms * torch.sign(before * norms - wanted))
        grown = torch.log(torch.exp(self.read(losses)).sum() / before.sum())
        with torch.no_grad():
            for name in losses:
                self.numbers[name] -= grown
