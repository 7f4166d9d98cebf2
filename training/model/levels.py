"""Experts above experts: progressive layered extraction (PLE, Tang et al., RecSys 2020, section 4.2).

below   experts of all, experts of each task, the gate of each task, the shared gate      columns side by side
        ├─ a task's gate mixes the experts that it sees ─▶ the task's own experts and gate here
        └─ the shared gate mixes all experts            ─▶ the shared experts and gate here
here    the same columns; the last level has no shared gate, as nothing would read it

The first layer is the lowest level. As in the paper, experts and gates of a level read what their task, or what is
shared, was given by the level below. All levels are computed for each kind of tasks from what that kind may see: the
shared gate mixes the experts of all tasks, but as they speak of the kind's own inputs.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


class Level(nn.Module):
    """A level of T tasks above the first layer: E experts, of which each task sees V."""

    place: Tensor

    def __init__(self, seen: Mapping[str, Sequence[int]], shared: int, hidden: int, *, last: bool) -> None:
        """seen: the experts that each task sees, its own ones last; shared: how many are of all."""
        super().__init__()
        places = torch.tensor(list(seen.values()))
        self.choices, self.hidden = places.shape[1], hidden
        own = self.choices - shared
        self.experts = shared + own * len(seen)
        self.columns = {"shared": shared * hidden, "own": own * hidden}  # of experts; those of a gate follow
        self.shared = _linear(hidden, shared * hidden + (0 if last else self.experts))
        self.own = nn.ModuleDict({name: _linear(hidden, own * hidden + self.choices) for name in seen})
        place = nn.functional.one_hot(places, self.experts).float()  # (T, V, E)
        self.register_buffer("place", place, persistent=False)

    def forward(self, below: Tensor) -> Tensor:
        """below (..., columns) -> (..., columns)."""
        inputs = self.inputs(below).unbind(dim=-2)
        own = [layer(value) for layer, value in zip(self.own.values(), inputs[:-1], strict=True)]
        cut = self.columns["own"]
        shared, gate = self.shared(inputs[-1]).tensor_split([self.columns["shared"]], dim=-1)
        experts, gates = [each[..., :cut] for each in own], [each[..., cut:] for each in own]
        return torch.cat([shared, *experts, *gates, gate], dim=-1)

    def inputs(self, below: Tensor) -> Tensor:
        """What each task, and last what is shared, is given by the level below: (..., T + 1, hidden)."""
        sizes = [self.experts * self.hidden, self.choices * len(self.own), self.experts]
        experts, gates, shared = torch.split(below, sizes, dim=-1)
        chosen = torch.softmax(torch.unflatten(gates, -1, (-1, self.choices)), dim=-1)
        shares = torch.einsum("...tv,tve->...te", chosen, self.place)
        shares = torch.cat([shares, torch.softmax(shared, dim=-1).unsqueeze(-2)], dim=-2)
        return shares @ torch.unflatten(torch.relu(experts), -1, (-1, self.hidden))


def _linear(hidden: int, out: int) -> nn.Linear:
    layer = nn.Linear(hidden, out)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")  # each level speaks as loudly as the one below
    nn.init.zeros_(layer.bias)
    return layer
