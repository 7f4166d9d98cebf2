"""The items' side of a factorisation, told as the users' is: by who met them, and how they liked it.

role of an item = its own + 1/√(1 + n) · Σ (met_u + grade · graded_u)      over its n events, of users u by number

Few events say who likes an item long before they say what it is like: its users are known from other items (the
combined asymmetric factors of MyMediaLite; an autoencoder of items does the same). Users by number are needed in
training only: at its end the sums become part of the items' columns, and users go on to be told by what they did.
A row that is learned from is asked without what its own user says of the item, which would be its label.
"""

from collections.abc import Sequence
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
    """n events, the oldest first: users (n,) and items (n,) by number, and what was done, kinds (n,)."""

    users: Ints
    items: Ints
    kinds: Ints

    def newest(self, limit: int) -> "Events":
        """Of each item so many of them."""
        order = np.argsort(self.items, kind="stable")
        items = self.items[order]
        newer = np.searchsorted(items, items, side="right") - np.arange(len(items))
        kept = order[newer <= limit]
        return Events(self.users[kept], self.items[kept], self.kinds[kept])


class Audience(nn.Module):
    """What the users of each item say of it."""

    pairs: Tensor
    starts: Tensor
    counts: Tensor
    grades: Tensor

    def __init__(self, items: int, users: int, factors: int) -> None:
        """items, users: how many there are; factors: k. Nobody has met anything yet."""
        super().__init__()
        self.items, self.users = items, max(users, 1)
        self.table = nn.Embedding(2 * self.users, factors)  # met, then graded
        nn.init.normal_(self.table.weight, std=SMALL)
        self.meet(Events(*(np.zeros(0, dtype=np.int64) for _ in range(3))), torch.zeros(1))

    def meet(self, events: Events, grades: Tensor) -> None:
        """Let these be the events. grades: of each kind, (E,)."""
        keys, places = np.unique(events.items * self.users + events.users, return_inverse=True)
        given = grades.double().numpy()[events.kinds]
        starts = np.searchsorted(keys, np.arange(self.items + 1) * self.users)
        found = {
            "pairs": torch.from_numpy(keys),  # of item and user, ascending
            "starts": torch.from_numpy(starts.astype(np.int64)),  # of the items among them
            "counts": torch.from_numpy(np.bincount(places, minlength=len(keys))).float(),
            "grades": torch.from_numpy(np.bincount(places, given, len(keys))).float(),
        }
        for name, value in found.items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, items: Tensor) -> Tensor:
        """What is added to the roles of items (n,) -> (n, k)."""
        sums, many = self._sums(items)
        return sums / torch.sqrt(1.0 + many).unsqueeze(-1)

    def without(self, items: Tensor, users: Tensor) -> Tensor:
        """The same for candidates (B, C) of users (B,), -1 for nobody, without what these say -> (B, C, k)."""
        distinct, places = torch.unique(items, return_inverse=True)
        sums, many = self._sums(distinct)
        counts, grades = self._own(items, users)
        numbers = users.clamp(min=0)
        met, graded = (self.table(numbers + start).unsqueeze(1) for start in (0, self.users))
        rest = sums[places] - counts.unsqueeze(-1) * met - grades.unsqueeze(-1) * graded
        found: Tensor = rest / torch.sqrt(1.0 + many[places] - counts).unsqueeze(-1)
        return found

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

    def _sums(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """Over the events of items (n,): (n, k), and how many they are, (n,)."""
        starts, sizes = self.starts[items], self.starts[items + 1] - self.starts[items]
        begins = torch.cumsum(sizes, 0) - sizes
        places = torch.repeat_interleave(starts - begins, sizes) + torch.arange(int(sizes.sum()))
        users, counts, grades = self.pairs[places] % self.users, self.counts[places], self.grades[places]
        sums = functional.embedding_bag(
            torch.stack([users, users + self.users], dim=1).flatten(),
            self.table.weight,
            2 * begins,
            mode="sum",
            per_sample_weights=torch.stack([counts, grades], dim=1).flatten(),
        )
        owners = torch.repeat_interleave(torch.arange(len(items)), sizes)
        return sums, torch.zeros(len(items)).index_add(0, owners, counts)

    def _own(self, items: Tensor, users: Tensor) -> Sequence[Tensor]:
        """How often, and with what grades together, users (B,) met candidates (B, C): two (B, C)."""
        if not len(self.pairs):
            return torch.zeros(items.shape), torch.zeros(items.shape)
        keys = items * self.users + users.unsqueeze(1)
        places = torch.searchsorted(self.pairs, keys).clamp(max=len(self.pairs) - 1)
        met = ((self.pairs[places] == keys) & (users >= 0).unsqueeze(1)).float()
        return met * self.counts[places], met * self.grades[places]
