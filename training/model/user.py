"""The user encoder: additive attention over the vectors of what the user did.

Each event is its item's vector, weighed entry by entry by what was done (a low rating may turn it round, as in
Koren's asymmetric SVD, KDD'08), plus learned vectors of what was done, how long before the newest event,
and at what hour of the day; four attentions pool them (NAML and PLM-NR use one), next to a learned
newcomer that is always there, so that an empty history has a vector too.
"""

import torch
from torch import Tensor, nn

from model_store.history import GAP_BUCKETS
from training.model.factors import Past

ATTENTIONS = 4


class UserEncoder(nn.Module):
    """History to user vector."""

    def __init__(self, dimension: int, events: int, dropout: float, past: Past | None = None) -> None:
        """past: what the items' learned columns say of a user, where there are some."""
        super().__init__()
        self.past = past
        self.event = _table(events, dimension)
        self.weight = nn.Embedding(events, dimension)
        nn.init.zeros_(self.weight.weight)
        self.gap = _table(GAP_BUCKETS, dimension)
        self.hour = _table(24, dimension)
        self.newcomer = nn.Parameter(torch.randn(dimension) * dimension**-0.5)
        self.key = nn.Linear(dimension, dimension)
        self.queries = nn.Linear(dimension, ATTENTIONS, bias=False)
        self.out = nn.Linear(ATTENTIONS * dimension, dimension)
        self.dropout = nn.Dropout(dropout)
        with torch.no_grad():  # starts as the mean of the history
            self.queries.weight.mul_(0.1)
            self.out.weight.copy_(torch.cat([torch.eye(dimension)] * ATTENTIONS, dim=1) / ATTENTIONS)
            self.out.bias.zero_()

    def forward(self, vectors: Tensor, events: Tensor, gaps: Tensor, hours: Tensor, mask: Tensor) -> Tensor:
        """vectors (B, L, d), events, gaps, hours (B, L) int64, mask (B, L) of 0 and 1 -> unit (B, d).

        Where items have learned columns, users have their own behind the unit vector, as factors.py tells.
        """
        d = self.key.in_features
        vectors, learned = vectors[..., :d], vectors[..., d:]
        # a sum over all events: with some forgotten it would be smaller than it is served
        past = [] if self.past is None else [self.past(learned, events, mask)]
        scale = vectors.shape[-1] ** -0.5  # learned vectors start small beside unit item vectors
        told = (
            vectors * (1.0 + self.weight(events))
            + (self.event(events) + self.gap(gaps) + self.hour(hours)) * scale
        )
        newcomer = self.newcomer.expand(vectors.shape[0], 1, -1)
        told = torch.cat([newcomer, told], dim=1)  # (B, 1 + L, d)
        mask = self.dropout(mask).clamp(max=1.0)  # in training, some events are forgotten
        mask = torch.cat([torch.ones_like(mask[:, :1]), mask], dim=1)
        scores = self.queries(torch.tanh(self.key(told)))  # (B, 1 + L, A)
        scores = scores.masked_fill(mask.unsqueeze(-1) == 0, -1e4)
        weights = torch.softmax(scores, dim=1).transpose(1, 2)  # (B, A, 1 + L)
        pooled = (weights @ told).flatten(1)  # (B, A·d)
        return torch.cat([nn.functional.normalize(self.out(pooled), dim=-1), *past], dim=-1)


def _table(size: int, dimension: int) -> nn.Embedding:
    table = nn.Embedding(size, dimension)
    nn.init.normal_(table.weight, std=0.02)
    return table
