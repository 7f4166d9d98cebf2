"""Balances that are one function of the losses, without memory: torchjd's scalarizers."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchjd.scalarization import GeometricMean, Random, Scalarizer

from training.balance.balance import Balance, Terms, values

SCALARIZERS: dict[str, type[Scalarizer]] = {"gls": GeometricMean, "rlw": Random}


class Scalar(Balance):
    """The weights that the gradient of a scalarizer gives n losses, times n.

    `gls`, the geometric mean: a step counts by the share of its loss that it takes away (Chennupati et al.,
    CVPRW 2019). `rlw`: weights drawn anew at each step (Lin et al., TMLR 2022).
    """

    def __init__(self, own: Mapping[str, float], kind: str) -> None:
        super().__init__(own)
        self._scalarizer = SCALARIZERS[kind]()

    def weigh(self, losses: Terms, shared: Sequence[Tensor]) -> Tensor:  # noqa: ARG002
        """(n,)."""
        found = values(losses).requires_grad_()
        (weights,) = torch.autograd.grad(self._scalarizer(found), found)
        return weights * len(losses)
