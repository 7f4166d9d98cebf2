"""How well scores rank: within impressions, and over the whole catalogue.

Within impressions the metrics are those of the evaluation script of MIND (Wu et al., ACL 2020;
github.com/msnews/MIND, evaluate.py), which EB-NeRD's (RecSys Challenge 2024) follows. Over the rows
of one impression, of which P are positive, with places r = 1, 2, ... from the highest score down:

    auc      share of the (positive, negative) pairs in the right order
    mrr      (1 / P) · sum over the positives of 1 / r          not only the first positive's
    ndcg@k   sum over the positives with r <= k of 1 / log2(r + 1), over the most it could be

and each is averaged over the impressions that have a positive and a negative row; the others do not count.

The script leaves the order of equal scores to the sort. Here they count as the mean over all their
orders (McSherry and Najork, ECIR 2008), so a constant score earns what a random ranking is expected to,
an AUC of exactly 0.5, wherever the positives lie in the file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CUTS = (5, 10)  # the k of nDCG@k
METRICS = ("auc", "mrr", *(f"ndcg@{k}" for k in CUTS))
CHUNK = 1 << 22  # scores held at once: 16 MB of float32


def evaluate(labels: ArrayLike, scores: ArrayLike, *, groups: ArrayLike) -> dict[str, float]:
    """Mean of every metric over the impressions that count, and `impressions`, their number.

    Takes what `per_impression` takes. A mean is NaN if no impression counts or one has a NaN score.
    """
    values = per_impression(labels, scores, groups=groups)
    means = {name: float(value.mean()) if value.size else np.nan for name, value in values.items()}
    return means | {"impressions": len(values["auc"])}


def per_impression(labels: ArrayLike, scores: ArrayLike, *, groups: ArrayLike) -> dict[str, Floats]:
    """Every metric (m,) of the impressions that count, by ascending number: for paired comparisons.

    labels: (n,) 0 or 1
    scores: (n,), higher is better; an impression with a NaN score has NaN metrics
    groups: (n,) integers, the impression of each row; its rows need not be contiguous
    """
    numbers = np.asarray(groups, dtype=np.int64)
    rows = _Rows.sort(np.asarray(labels) > 0, np.asarray(scores, dtype=np.float64), groups=numbers)
    counts = (rows.positives > 0) & (rows.negatives > 0)
    with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0 in the impressions that do not count
        values = _metrics(rows)
    return {name: np.where(rows.broken, np.nan, value)[counts] for name, value in values.items()}


def _metrics(rows: "_Rows") -> dict[str, Floats]:
    places, positives = rows.places, rows.positives
    # A positive in place r stands behind r - 1 rows; over all positives, P(P - 1)/2 of them are positives.
    behind = rows.expected(places) - positives * (positives + 1) / 2
    values = {
        "auc": 1.0 - behind / (positives * rows.negatives),
        "mrr": rows.expected(1.0 / places) / positives,
    }
    discounts = 1.0 / np.log2(places + 1)
    for k in CUTS:
        best = np.cumsum(1.0 / np.log2(np.arange(2, k + 2)))  # by the number of positives, from one
        ideal = best[np.clip(positives, 1, k) - 1]
        values[f"ndcg@{k}"] = rows.expected(np.where(places <= k, discounts, 0.0)) / ideal
    return values


@dataclass(frozen=True)
class _Rows:
    """Rows sorted by impression and falling score, in blocks of equal scores."""

    places: Ints  # (n,) 1 is the highest score of the impression
    blocks: Ints  # (b,) first row of each block
    sizes: Ints  # (b,) its rows
    hits: Ints  # (b,) its positive rows
    firsts: Ints  # (m,) first block of each impression
    positives: Ints  # (m,)
    negatives: Ints  # (m,)
    broken: NDArray[np.bool_]  # (m,) some score is NaN

    @classmethod
    def sort(cls, positive: NDArray[np.bool_], scores: Floats, *, groups: Ints) -> Self:
        order = np.lexsort((-scores, groups))
        groups, positive, scores = groups[order], positive[order], scores[order]
        new_group = np.ones(len(groups), dtype=np.bool_)
        new_group[1:] = groups[1:] != groups[:-1]
        new_block = new_group.copy()
        new_block[1:] |= scores[1:] != scores[:-1]
        starts, blocks = np.flatnonzero(new_group), np.flatnonzero(new_block)
        lengths = np.diff(starts, append=len(groups))
        positives = np.add.reduceat(positive, starts, dtype=np.int64)
        return cls(
            places=np.arange(1, len(groups) + 1) - np.repeat(starts, lengths),
            blocks=blocks,
            sizes=np.diff(blocks, append=len(groups)),
            hits=np.add.reduceat(positive, blocks, dtype=np.int64),
            firsts=np.searchsorted(blocks, starts),
            positives=positives,
            negatives=lengths - positives,
            broken=np.logical_or.reduceat(np.isnan(scores), starts),
        )

    def expected(self, worth: NDArray[np.generic]) -> Floats:
        """What the places of an impression's positives are worth together (m,), each a mean over its block.

        worth: (n,), of the place of each row
        """
        means = np.add.reduceat(worth, self.blocks, dtype=np.float64) / self.sizes
        return np.add.reduceat(self.hits * means, self.firsts, dtype=np.float64)


def recall(ranks: ArrayLike, k: int, *, weights: Floats | None = None) -> float:
    """Share of ranks (r,), counted from 1, that are k or less; NaN if there are none."""
    found = (np.asarray(ranks) <= k).astype(np.float64)
    return float(np.average(found, weights=weights)) if found.size else np.nan


def recall_at(
    user_vectors: NDArray[np.floating],
    item_vectors: NDArray[np.floating],
    *,
    targets: Sequence[ArrayLike] | NDArray[np.integer],
    cuts: Sequence[int] = (10, 50, 100),
    chunk: int = CHUNK,
) -> dict[str, float]:
    """recall@k of retrieval by dot product over the whole catalogue, one value for each k of `cuts`.

    user_vectors (U, d), item_vectors (N, d); `targets` holds for each user the row of an item, or the rows
    of several. A user's recall is the share of the targets that are among the k best items; a user without
    targets does not count. A target stands behind all items of an equal score: a constant score finds nothing.
    """
    wanted = [np.atleast_1d(np.asarray(rows, dtype=np.int64)) for rows in targets]
    lengths = np.array([len(rows) for rows in wanted], dtype=np.int64)
    users = np.repeat(np.arange(len(wanted)), lengths)
    items = np.concatenate(wanted) if wanted else np.zeros(0, dtype=np.int64)
    if len(user_vectors) != len(wanted):
        raise ValueError(
            f"targets has {len(wanted)} entries for {len(user_vectors)} user vectors; give one a user"
        )
    _check(items, len(item_vectors))

    ranks = np.empty(len(users), dtype=np.int64)
    step = max(1, chunk // max(1, len(item_vectors)))
    for start in range(0, len(users), step):
        part = slice(start, start + step)
        distinct, rows = np.unique(users[part], return_inverse=True)
        scores = user_vectors[distinct] @ item_vectors.T
        ranks[part] = _ranks(scores[rows], items[part])
    return {f"recall@{k}": recall(ranks, k, weights=1.0 / lengths[users]) for k in cuts}


def _check(items: Ints, catalogue: int) -> None:
    if items.size and not 0 <= items.min() <= items.max() < catalogue:
        raise ValueError(
            f"targets reach from {items.min()} to {items.max()}, but item_vectors has {catalogue} rows; "
            "leave out the items that are not in the catalogue"
        )


def _ranks(scores: NDArray[np.floating], items: Ints) -> Ints:
    """Rank (r,), from 1, of one item in each row of scores (r, N): how many items do not score lower.

    Counting the lower ones puts a NaN last, where a count of the higher ones would put it first.
    """
    own = np.take_along_axis(scores, items[:, None], axis=1)
    return np.asarray(scores.shape[1] - np.count_nonzero(scores < own, axis=1), dtype=np.int64)
