"""Gradient surgery: conflicting gradients of the tasks are made one at the representation that all heads read.

losses ─▶ heads ─▶ user, query, item vectors ─▶ encoders
          plain    one row a task: the Jacobian ─▶ one gradient, sent back through the encoders once

What lies behind the representation learns from the sum of all losses, as without surgery.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from training.balance.balance import Balance, Terms
from training.balance.gradients import rows
from training.balance.gramian import cagrad, mgda, nash, pcgrad, upgrad

Weighting = Callable[[Tensor], Tensor]
WEIGHTINGS: dict[str, Weighting] = {
    "pcgrad": pcgrad, "cagrad": cagrad, "upgrad": upgrad, "nash_mtl": nash, "mgda": mgda,
}  # fmt: skip


class Surgery(Balance):
    """One of the ways to weigh rows by the products of all pairs of them."""

    def __init__(self, own: Mapping[str, float], kind: str, heads: Sequence[nn.Parameter]) -> None:
        """heads: what lies between the representation and the losses."""
        super().__init__(own)
        self._weighting, self._heads = WEIGHTINGS[kind], [each for each in heads if each.requires_grad]

    def backward(self, losses: Terms, shared: Sequence[Tensor]) -> dict[str, float]:
        """The gradients; the weights that the rows had."""
        if not losses:
            return {}
        scaled = {name: self.own[name] * loss for name, loss in losses.items()}
        found = rows(scaled, shared)
        torch.autograd.backward(list(scaled.values()), inputs=self._heads, retain_graph=bool(found))
        weights = {name: self.own[name] for name in losses}
        if found:
            jacobian = torch.stack(list(found.values()))
            given = self._given(jacobian)
            parts = torch.split(given @ jacobian, [each.numel() for each in shared])
            whole = [part.view_as(each) for part, each in zip(parts, shared, strict=True)]
            torch.autograd.backward(list(shared), whole)
            weights |= {
                name: weights[name] * weight for name, weight in zip(found, given.tolist(), strict=True)
            }
        return weights

    def _given(self, jacobian: Tensor) -> Tensor:
        """The rows' weights (n,); 1 where there is nothing to weigh, or nothing left to save."""
        gramian = self.team.sum(jacobian @ jacobian.T).double()
        if len(gramian) == 1 or not gramian.isfinite().all():
            return torch.ones(len(jacobian))
        return self.team.same(self._weighting(gramian).to(jacobian.dtype))
