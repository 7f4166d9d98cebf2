"""What one score is for: the weighted mean of how well it ranks for some tasks, from 0 to 1.

    ndcg@5, ndcg@10, mrr, impression_auc    over requests that have a positive and a negative row
    user_auc                                over users that have
    auc                                     of all rows together

Each is that of training/ranking.py, over what it names as units.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from training import ranking
from training.dataset import Dataset
from training.errors import ConfigError
from training.predict import Predictions, known, labels_of

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Term:
    """One metric of a goal: its share, and the rows (k,) of the units that define it.

    labels, groups, requests (k,): which are positive, and the unit and the request of each.
    """

    written: str
    share: float
    rows: Ints
    labels: NDArray[np.bool_]
    groups: Ints
    requests: Ints

    def part(self, kept: NDArray[np.bool_]) -> "Term":
        """Of these rows (k,) only, without the units that they define no more."""
        both = np.intersect1d(self.groups[kept & self.labels], self.groups[kept & ~self.labels])
        kept = kept & np.isin(self.groups, both)
        return replace(
            self,
            rows=self.rows[kept],
            labels=self.labels[kept],
            groups=self.groups[kept],
            requests=self.requests[kept],
        )

    def units(self, scores: Floats) -> Floats:
        """The metric of each unit (u,), from the scores (n,) of all rows."""
        metric = self.written.partition(":")[2]
        column = "auc" if metric.endswith("auc") else metric
        return ranking.per_impression(self.labels, scores[self.rows], groups=self.groups)[column]


@dataclass(frozen=True)
class Goal:
    """What scores of the rows of a split are judged by."""

    terms: tuple[Term, ...]

    @classmethod
    def of(
        cls,
        wanted: Mapping[str, float],
        dataset: Dataset,
        predictions: Predictions,
        split: str,
        *,
        most: int | None = None,
    ) -> "Goal":
        """The goal on a split, of at most so many units a term, evenly from all."""
        total = sum(wanted.values())
        return cls(
            tuple(
                _term(written, weight / total, dataset, predictions, split, most=most)
                for written, weight in wanted.items()
            )
        )

    def check(self, split: str) -> None:
        """Raises ConfigError if a term is undefined."""
        for term in self.terms:
            if not len(term.rows):
                raise ConfigError(
                    f"fusion.goal: {term.written} is undefined on the {split} part: no unit has both labels; take "
                    f"{term.written.partition(':')[0]}:auc, or hold out more"
                )

    def folds(self, count: int) -> Iterator[tuple["Goal", "Goal"]]:
        """The requests in so many parts: the goal on all others, and on one part."""
        for fold in range(count):
            here = [term.requests % count == fold for term in self.terms]
            rest, part = (
                Goal(tuple(term.part(kept) for term, kept in zip(self.terms, masks, strict=True)))
                for masks in ([~kept for kept in here], here)
            )
            yield rest, part

    def value(self, scores: Floats) -> float:
        """Of the scores (n,) of all rows; NaN if a term is undefined."""
        return sum(
            term.share * float(term.units(scores).mean()) if len(term.rows) else np.nan for term in self.terms
        )


def _term(
    written: str,
    share: float,
    dataset: Dataset,
    predictions: Predictions,
    split: str,
    *,
    most: int | None,
) -> Term:
    name, _, metric = written.partition(":")
    owners = dataset.requests.owners[predictions.rows]
    groups = {"user_auc": dataset.requests.users[owners], "auc": np.zeros_like(owners)}.get(metric, owners)
    labels = labels_of(dataset, predictions, name, split)
    rows = np.flatnonzero(known(labels) & (groups >= 0))
    whole = Term(written, share, rows, labels[rows] > 0.5, groups[rows], owners[rows])
    whole = whole.part(np.ones(len(rows), dtype=np.bool_))
    units = np.unique(whole.groups)
    if most is None or len(units) <= most:
        return whole
    return whole.part(np.isin(whole.groups, units[np.linspace(0, len(units) - 1, most).astype(np.int64)]))
