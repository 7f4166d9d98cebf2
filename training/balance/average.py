"""Dynamic weight average: what a task's mean loss did over the last two epochs decides its weight in the next.

torchjd's DWA keeps no mean of a task that is absent now and then, and nothing that a resumed run could read.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from training.balance.balance import Balance, Terms, values

TEMPERATURE = 2.0


class Average(Balance):
    """Liu et al., CVPR 2019: K softmax(r / 2) of r = L(t-1) / L(t-2); r is 1 until a task has both means."""

    sums: Tensor
    counts: Tensor
    means: Tensor

    def __init__(self, own: Mapping[str, float]) -> None:
        super().__init__(own)
        self._places = {name: place for place, name in enumerate(own)}
        self.register_buffer("sums", torch.zeros(len(own)))  # of this epoch
        self.register_buffer("counts", torch.zeros(len(own)))
        self.register_buffer(
            "means", torch.full((2, len(own)), torch.nan)
        )  # of the last epoch, of the one before

    def weigh(self, losses: Terms, shared: Sequence[Tensor]) -> Tensor:  # noqa: ARG002
        """(n,)."""
        here = torch.tensor([self._places[name] for name in losses])
        self.sums[here] += values(losses)
        self.counts[here] += 1.0
        pace = torch.nan_to_num(self.means[0] / self.means[1], nan=1.0)
        return (len(pace) * torch.softmax(pace / TEMPERATURE, dim=0))[here]

    def turn(self) -> None:
        """The means move on, but for tasks that had no labels in the epoch."""
        seen = self.counts > 0
        last = torch.where(seen, self.sums / self.counts, self.means[0])
        before = torch.where(seen, self.means[0], self.means[1])
        self.means.copy_(torch.stack([last, before]))
        self.sums.zero_()
        self.counts.zero_()
