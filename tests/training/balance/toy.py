"""Three tasks on one encoder, small enough to compute everything twice."""

from typing import ClassVar

import torch
from torch import nn

from training.balance.average import Average
from training.balance.balance import Balance
from training.balance.learned import Famo, GradNorm, Uncertainty
from training.balance.scalar import Scalar
from training.balance.surgery import WEIGHTINGS, Surgery


class Small(nn.Module):
    """Ten rows of four numbers, encoded to three; tasks a, b and c read those and want other things."""

    KINDS: ClassVar = ("uncertainty", "dwa", "gls", "rlw", "famo", "gradnorm", *WEIGHTINGS)

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inputs = torch.randn(10, 4)
        self.encoder = nn.Linear(4, 3)
        self.heads = nn.ModuleDict({name: nn.Linear(3, 1) for name in "abc"})
        self.wanted = {"a": torch.randn(10, 1), "b": 3.0 * torch.randn(10, 1), "c": -torch.randn(10, 1) - 1.0}
        self.shared = [self.encoder(self.inputs)]

    def losses(self, names: str) -> dict[str, torch.Tensor]:
        self.zero_grad()
        self.shared = [self.encoder(self.inputs)]
        return {
            name: nn.functional.mse_loss(self.heads[name](self.shared[0]), self.wanted[name])
            for name in names
        }

    def gradients(self) -> list[torch.Tensor | None]:
        return [parameter.grad for parameter in self.parameters()]

    def balance(self, kind: str, own: dict[str, float] | None = None) -> Balance:
        own = own or dict.fromkeys("abc", 1.0)
        if kind in WEIGHTINGS:
            return Surgery(own, kind, list(self.heads.parameters()))
        kinds = {
            "fixed": Balance,
            "uncertainty": Uncertainty,
            "dwa": Average,
            "famo": Famo,
            "gradnorm": GradNorm,
        }
        return kinds[kind](own) if kind in kinds else Scalar(own, kind)

    def step(self, balance: Balance, names: str) -> dict[str, float]:
        """One of plain descent; the weights."""
        losses = self.losses(names)
        weights = balance.backward(losses, self.shared)
        with torch.no_grad():
            for parameter in self.parameters():
                if parameter.grad is not None:
                    parameter.sub_(0.05 * parameter.grad)
        kept = [parameter.grad for parameter in self.parameters()]
        balance.follow(lambda: self.losses(names))
        for parameter, gradient in zip(self.parameters(), kept, strict=True):
            parameter.grad = gradient
        return weights
