"""The items' side of a factorisation, told as the users' is: by who met them, and how they liked it.

role of an item = its own + 1/√(1 + n) · Σ (met_u + grade · graded_u)      over its n events, of users u by number

Few events say who likes an item long before they say what it is like: its users are known from other items (the
combined asymmetric factors of MyMediaLite; an autoencoder of items does the same). Users by number are needed in
training only: at its end the sums become part of the items' columns, and users go on to be told by what they did.
A row that is learned from is asked as of its moment, as it would be served, and without what its own user says of
the item, which where rows are held out at random would be its label.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.model.factors import SMALL

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Events:
    """n events: users and items by number, what was done, kinds, and when, times; each (n,)."""

    users: Ints
    items: Ints
    kinds: Ints
    times: NDArray[np.float64]

    @classmethod
    def none(cls) -> "Events":
        """Nothing has happened."""
        nothing = np.zeros(0, dtype=np.int64)
        return cls(nothing, nothing, nothing, nothing.astype(np.float64))


class Audience(nn.Module):
    """What the users of each item say of it."""

    grades: Tensor
    keys: Tensor
    moments: Tensor
    starts: Tensor
    whose: Tensor

    def __init__(self, items: int, users: int, factors: int, *, limit: int) -> None:
        """items, users: how many there are; factors: k; limit: of the newest events of an item that tell of it.

        Nobody has met anything yet.
        """
        super().__init__()
        self.items, self.users, self.limit = items, max(users, 1), limit
        self.table = nn.Embedding(2 * self.users, factors)  # met, then graded
        nn.init.normal_(self.table.weight, std=SMALL)
        self.meet(Events.none(), torch.zeros(1))

    def meet(self, events: Events, grades: Tensor) -> None:
        """Let these be the events. grades: of each kind, (E,)."""
        order = np.lexsort((events.times, events.items))
        items, (moments, ranks) = events.items[order], np.unique(events.times[order], return_inverse=True)
        keys = items * (len(moments) + 1) + ranks
        found = {
            "whose": torch.from_numpy(events.users[order]),  # item by item, the oldest first
            "grades": grades.float()[torch.from_numpy(events.kinds[order])],
            "keys": torch.from_numpy(keys.astype(np.int64)),  # of item and moment, ascending
            "moments": torch.from_numpy(moments),
            "starts": torch.from_numpy(np.searchsorted(items, np.arange(self.items + 1))),
        }
        for name, value in found.items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, items: Tensor) -> Tensor:
        """What is added to the roles of items (n,) at the end of the events -> (n, k)."""
        return self._told(items, self.starts[items + 1], torch.full_like(items, -1))

    def at(self, items: Tensor, users: Tensor, times: Tensor, mask: Tensor) -> Tensor:
        """The same for candidates (B, C) before times (B,), without what users (B,) say, -1: nobody -> (B, C, k).

        Where mask (B, C) is 0 nothing is said.
        """
        ranks = torch.searchsorted(self.moments, times)
        keys = items * (len(self.moments) + 1) + ranks.unsqueeze(1)
        owners = users.unsqueeze(1).expand_as(items)
        stops = torch.where(mask > 0, torch.searchsorted(self.keys, keys), self.starts[items])
        found = self._told(items.flatten(), stops.flatten(), owners.flatten())
        return found.reshape(*items.shape, -1)

    def size(self, users: Tensor) -> Tensor:
        """Mean squared length of what was learned of users (n,), each as often as it stands there; 0 of nobody."""
        numbers = users.clamp(min=0)
        learned: Tensor = torch.cat([self.table(numbers), self.table(numbers + self.users)], dim=-1)
        return (learned.square().sum(dim=-1) * (users >= 0)).mean()

    @torch.no_grad()
    def settled(self) -> Tensor:
        """What is added to the roles of all items (items, k); from now on nothing is."""
        found: Tensor = self(torch.arange(self.items))
        self.table.weight.zero_()
        return found

    def _told(self, items: Tensor, stops: Tensor, but: Tensor) -> Tensor:
        """Of items (n,) by their events before places (n,), without those of users (n,) -> (n, k)."""
        begins = torch.maximum(self.starts[items], stops - self.limit)
        sizes = stops - begins
        firsts = torch.cumsum(sizes, 0) - sizes
        places = torch.repeat_interleave(begins - firsts, sizes) + torch.arange(int(sizes.sum()))
        users = self.whose[places]
        counts = (users != torch.repeat_interleave(but, sizes)).float()
        sums = functional.embedding_bag(
            torch.stack([users, users + self.users], dim=1).flatten(),
            self.table.weight,
            2 * firsts,
            mode="sum",
            per_sample_weights=torch.stack([counts, counts * self.grades[places]], dim=1).flatten(),
        )
        owners = torch.repeat_interleave(torch.arange(len(items)), sizes)
        many = torch.zeros(len(items)).index_add(0, owners, counts)
        return sums / torch.sqrt(1.0 + many).unsqueeze(-1)
