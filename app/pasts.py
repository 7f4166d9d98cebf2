"""The pasts of several users side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from app.users import Past
from model_store.clock import Times
from model_store.moment import Floats, Ints


@dataclass(frozen=True)
class Pasts:
    """E events of G users, one user's after another's: rows, kinds, times and whose they are (E,).

    sizes (G,): events of each; last (G,): time of the newest, NaN if there is none.
    """

    rows: Ints
    kinds: Ints
    times: Times
    sizes: Ints
    last: Times

    @classmethod
    def of(cls, pasts: Sequence[Past]) -> "Pasts":
        """In the order given."""
        return cls(
            rows=np.concatenate([past.rows for past in pasts]),
            kinds=np.concatenate([past.events for past in pasts]),
            times=np.concatenate([past.times for past in pasts]),
            sizes=np.array([len(past.rows) for past in pasts], dtype=np.int64),
            last=np.array([past.last for past in pasts]),
        )

    @cached_property
    def owners(self) -> Ints:
        """The number of each event's user, (E,)."""
        return np.arange(len(self.sizes)).repeat(self.sizes)

    def share(self, kind: int) -> Floats:
        """Share of each user's events that are of a kind, (G,), NaN if there is none."""
        found = np.bincount(self.owners[self.kinds == kind], minlength=len(self.sizes))
        return np.where(self.sizes == 0, np.nan, found / np.maximum(self.sizes, 1))
