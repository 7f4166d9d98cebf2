"""A factorisation beside the texts: items by number, users by what they did, so that new users have factors too.

    item  [ text (d) |  1   | role (k) | bias | past (k) | graded (k) ]
    user  [ user (d) | lean | z    (k) |  1   |    0     |     0      ]

    z    = 1/√(1 + n) · Σ (past_j + grade_j · graded_j)           over the n events of the history
    lean = 1/(PULL + n) · Σ (a · grade_j - b · bias_j)

user · item so adds lean + z · role + bias to the dot product of the texts: SVD++ without its vectors of users (NSVD
and asymmetric SVD, Koren, KDD'08), where each event's item counts by what was done, and a user's bias is what the
grades are above the items'. Items that are no part of the catalogue have a one and zeros there, as have queries.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

SMALL = 0.02  # spread at first of what stands for an item in histories; its role begins at zero
PULL = 5.0  # events of the usual grade that stand beside those of a user


class Factors(nn.Module):
    """The items' side: what is learned of each beside its text."""

    def __init__(self, items: int, factors: int) -> None:
        """items: of the catalogue; factors: k."""
        super().__init__()
        self.items, self.factors = items, factors
        self.table = nn.Embedding(items, 3 * factors + 1)
        nn.init.zeros_(self.table.weight)
        nn.init.normal_(self.table.weight[:, factors + 1 :], std=SMALL)

    @torch.no_grad()
    def begin(self, biases: Tensor) -> None:
        """Let the items' biases (items,) begin here."""
        self.table.weight[:, self.factors] = biases

    @torch.no_grad()
    def add(self, roles: Tensor) -> None:
        """Add to the items' roles (items, k)."""
        self.table.weight[:, : self.factors] += roles

    def forward(self, texts: Tensor, vectors: Tensor) -> Tensor:
        """texts (U,) by number, the catalogue's first, and their vectors (U, d) -> (U, d + 3k + 2)."""
        known = texts < self.items
        learned = self.table(torch.where(known, texts, 0)) * known.unsqueeze(-1)
        return torch.cat([vectors, torch.ones_like(vectors[:, :1]), learned], dim=-1)

    def unknown(self, vectors: Tensor) -> Tensor:
        """The same for texts outside of the catalogue."""
        return nn.functional.pad(
            torch.cat([vectors, torch.ones_like(vectors[:, :1])], dim=-1), (0, 3 * self.factors + 1)
        )

    def size(self, items: Tensor) -> Tensor:
        """Mean squared length of what was learned of items (n,), each as often as it stands there."""
        learned: Tensor = self.table(items)
        return learned.square().sum(dim=-1).mean()


class Past(nn.Module):
    """The users' side: what the items of a history say together."""

    grade: Tensor
    scale: Tensor

    def __init__(self, factors: int, grades: Tensor) -> None:
        """factors: k; grades: of each kind of event (E,)."""
        super().__init__()
        self.factors = factors
        self.lean = nn.Parameter(torch.ones(2))
        self.register_buffer("grade", grades)
        self.register_buffer("scale", torch.ones(()))  # of what is said; the heads measure by its inverse

    def forward(self, learned: Tensor, events: Tensor, mask: Tensor) -> Tensor:
        """learned (B, L, 3k + 2) of the items, events (B, L) int64, mask (B, L) -> (B, 3k + 2)."""
        k, many = self.factors, mask.sum(dim=1, keepdim=True)
        bias, past, graded = learned[..., k + 1], learned[..., k + 2 : 2 * k + 2], learned[..., 2 * k + 2 :]
        grade = self.grade[events] * mask
        told = past * mask.unsqueeze(-1) + grade.unsqueeze(-1) * graded
        above = self.lean[0] * grade - self.lean[1] * bias * mask
        lean = above.sum(dim=1, keepdim=True) / (PULL + many)
        rest = torch.zeros_like(learned[:, 0, : 2 * k])
        said = [lean, told.sum(dim=1) / torch.sqrt(1.0 + many), torch.ones_like(many), rest]
        return self.scale * torch.cat(said, dim=-1)


def spreads(events: Mapping[str, float | None], often: Tensor | None = None) -> Tensor:
    """Grades of the profile and of each event (1 + E,): their number of spreads above the mean, 0 for none.

    often: how often each of them is met (1 + E,), alike if it is not said. Where most grades are good ones, an event
    of the middle grade speaks against an item.
    """
    given = torch.tensor([torch.nan, *(torch.nan if grade is None else grade for grade in events.values())])
    counts = torch.ones(len(given)) if often is None else often.to(given.dtype)
    counts = counts * ~given.isnan()
    grades = given.nan_to_num()
    mean = (counts @ grades) / counts.sum().clamp(min=1e-6)
    spread = ((counts @ (grades - mean).square()) / counts.sum().clamp(min=1e-6)).sqrt()
    if spread < 1e-6:
        return torch.zeros(len(given))
    return torch.where(given.isnan(), 0.0, (grades - mean) / spread)


def biases(users: Tensor, items: Tensor, labels: Tensor, size: int) -> Tensor:
    """What each of `size` items adds to labels (n,) around zero, beside what users (n,) from 0 add: both in turns."""
    people = int(users.max()) + 1
    by_user, by_item = torch.zeros(people), torch.zeros(size)
    for _ in range(10):
        rest = torch.bincount(items, labels - by_user[users], size)
        by_item = (rest / (torch.bincount(items, minlength=size) + PULL)).float()
        rest = torch.bincount(users, labels - by_item[items], people)
        by_user = (rest / (torch.bincount(users, minlength=people) + PULL)).float()
    return by_item
