"""What every balance does: it weighs the losses of the tasks that have labels in a step, and leaves the gradients.

A task without labels in a batch is not among the losses: it takes no part, and what a balance keeps of it stays.
Losses come in units of the constant predictor's, so weights near 1 mean "as without a balance"; every weight is
multiplied by the task's own from the configuration.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from training.team import SOLO

Terms = Mapping[str, Tensor]  # task -> its loss, one number, for the tasks that take part

LEAST = 1e-8  # of a loss whose logarithm or inverse is taken


class Balance(nn.Module):
    """The configuration's weights alone. What others keep between steps is in their `state_dict`."""

    def __init__(self, own: Mapping[str, float]) -> None:
        """own: the weight of each task in the configuration. `team` may be set to those who train together."""
        super().__init__()
        self.own, self.team = dict(own), SOLO

    def backward(self, losses: Terms, shared: Sequence[Tensor]) -> dict[str, float]:
        """Leave the gradients of one step; the weight that each loss had.

        shared: what the heads of all tasks read, as far as gradients go through it.
        """
        if not losses:
            return {}
        weights = self.team.same(self.weigh(losses, shared)) * self.chosen(losses)
        (weights * torch.stack(list(losses.values()))).sum().backward()  # type: ignore[no-untyped-call]
        return dict(zip(losses, weights.tolist(), strict=True))

    def weigh(self, losses: Terms, shared: Sequence[Tensor]) -> Tensor:  # noqa: ARG002 - others look at it
        """The weights (n,) of n losses, constants for the gradient."""
        return torch.ones(len(losses))

    def chosen(self, losses: Terms) -> Tensor:
        """The configuration's weights (n,) of n losses."""
        return torch.tensor([self.own[name] for name in losses])

    def follow(self, again: Callable[[], Terms]) -> None:
        """Learn from the step that was taken; `again` computes the losses of its batch anew."""

    def turn(self) -> None:
        """An epoch is over."""


def values(losses: Terms) -> Tensor:
    """The losses (n,) as numbers that a logarithm may be taken of."""
    return torch.stack([loss.detach() for loss in losses.values()]).clamp(min=LEAST)
