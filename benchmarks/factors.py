"""What ratings tell without any text: smoothed means, user and item biases, matrix factorisation, SVD++.

Users and items are dense matrices here, so a step takes a few users with all that they rated (Koren, KDD'08, by
mini-batches of Adam). A user's own label is left out of what stands for the user.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PULL = 5.0  # ratings of the usual kind that stand beside those of a user or an item
USERS = 64  # in a step


@dataclass(frozen=True)
class Ratings:
    """n labels of users and items by number."""

    users: Ints
    items: Ints
    labels: Floats


@dataclass(frozen=True)
class Factors:
    """Settings of a factorisation: `implicit` adds what a user rated at all (SVD++); `binary` learns log odds."""

    width: int = 64
    epochs: int = 15
    rate: float = 3e-3
    decay: float = 0.5
    implicit: bool = False
    binary: bool = False
    seed: int = 7


def means(train: Ratings, asked: Ratings, *, of: str) -> Floats:
    """Smoothed mean of each asked `user` or `item`, or of `all`."""
    usual = float(train.labels.mean())
    if of == "all":
        return np.full(len(asked.users), usual)
    keys, wanted = (train.users, asked.users) if of == "user" else (train.items, asked.items)
    size = int(max(keys.max(), wanted.max())) + 1
    sums, counts = np.bincount(keys, train.labels - usual, size), np.bincount(keys, minlength=size)
    found: Floats = usual + (sums / (counts + PULL))[wanted]
    return found


def biases(train: Ratings, asked: Ratings) -> Floats:
    """Mean, and what user and item add to it, fitted in turns."""
    usual, by_user, by_item = _biases(train, asked)
    found: Floats = usual + by_user[asked.users] + by_item[asked.items]
    return found


def factorised(train: Ratings, asked: Ratings, settings: Factors) -> Floats:
    """A matrix factorisation with biases, trained to the end of its epochs; probabilities if binary."""
    torch.manual_seed(settings.seed)
    usual, by_user, by_item = _biases(train, asked)
    shape = len(by_user), len(by_item)
    known, labels = torch.zeros(shape), torch.zeros(shape)
    known[train.users, train.items] = 1.0
    labels[train.users, train.items] = torch.from_numpy(train.labels).float()
    model = _Model(settings, known, usual, (by_user, by_item))
    optimiser = torch.optim.Adam(model.parameters(), lr=settings.rate)
    steps = settings.epochs * -(-shape[0] // USERS)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1.0 - step / steps)
    for _ in range(settings.epochs):
        for users in torch.randperm(shape[0]).split(USERS):
            loss = model.loss(users, labels[users])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
    with torch.no_grad():
        scores = model(torch.arange(shape[0]))
        values: Floats = (torch.sigmoid(scores) if settings.binary else scores).double().numpy()
    return values[asked.users, asked.items]


class _Model(nn.Module):
    def __init__(self, settings: Factors, known: Tensor, usual: float, biases: tuple[Floats, Floats]) -> None:
        super().__init__()
        users, items = known.shape
        odds = 1.0 / max(usual * (1.0 - usual), 1e-6) if settings.binary else 1.0  # slope of the log odds
        middle = float(np.log(usual / (1.0 - usual))) if settings.binary else usual
        self.settings, self.known, self.middle = settings, known, middle
        self.counts = known.sum(0)
        self.by_user, self.by_item = (nn.Parameter(torch.from_numpy(each * odds).float()) for each in biases)
        self.user, self.item = (
            nn.Parameter(0.05 * torch.randn(size, settings.width)) for size in (users, items)
        )
        self.rated = nn.Parameter(0.02 * torch.randn(items, settings.width)) if settings.implicit else None

    def forward(self, users: Tensor) -> Tensor:
        """Scores (B, I) of all items."""
        told = self.user[users]
        if self.rated is not None:
            rated = self.known[users]
            told = told + rated @ self.rated / torch.sqrt(rated.sum(1, keepdim=True) + 1.0)
        return self.middle + self.by_user[users, None] + self.by_item + told @ self.item.T

    def loss(self, users: Tensor, labels: Tensor) -> Tensor:
        """Of the known labels (B, I), with weights pulled to zero as often as they are used."""
        known, scores = self.known[users] > 0, self(users)
        found, wanted = scores[known], labels[known]
        if self.settings.binary:
            error = functional.binary_cross_entropy_with_logits(found, wanted, reduction="sum")
        else:
            error = ((found - wanted) ** 2).sum()
        share = len(users) / len(self.user)
        used = (self.item**2).sum(1) + self.by_item**2
        if self.rated is not None:
            used = used + (self.rated**2).sum(1)
        own = (self.known[users].sum(1) * ((self.user[users] ** 2).sum(1) + self.by_user[users] ** 2)).sum()
        return (error + self.settings.decay * ((self.counts * used).sum() * share + own)) / 1_000.0


def _biases(train: Ratings, asked: Ratings) -> tuple[float, Floats, Floats]:
    usual = float(train.labels.mean())
    users = int(max(train.users.max(), asked.users.max())) + 1
    items = int(max(train.items.max(), asked.items.max())) + 1
    by_user, by_item = np.zeros(users), np.zeros(items)
    for _ in range(10):
        rest = train.labels - usual - by_user[train.users]
        by_item = np.bincount(train.items, rest, items) / (np.bincount(train.items, minlength=items) + PULL)
        rest = train.labels - usual - by_item[train.items]
        by_user = np.bincount(train.users, rest, users) / (np.bincount(train.users, minlength=users) + PULL)
    return usual, by_user, by_item
