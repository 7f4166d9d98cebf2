"""The standard error of a number that many units make together, such as a metric over requests.

The delete-a-group jackknife (Quenouille 1956, Tukey 1958; by groups: Kott, Journal of Official Statistics 2001): the
units are dealt into G groups, the number is computed once without each of them, and the error is the root of
(G - 1) / G times the sum of the squared distances from their mean.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

GROUPS = 20
UNITS = 20_000  # of more, so many are drawn: errors fall with the root of the number

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Error:
    """A standard error, and the groups that it was learned from; NaN with fewer than two of them."""

    value: float
    groups: int

    def margin(self, level: float) -> float:
        """How far chance alone carries the number to one side, at the most, in a share `level` of all cases."""
        return float(t.ppf(level, self.groups - 1) * self.value) if self.groups > 1 else np.nan


def jackknife(units: NDArray[np.int64], number: Callable[[Mask], float]) -> Error:
    """The error of a number; units (n,): whose each row is, `number` is that of some of the rows, a mask (n,).

    NaN where the number is, without one of the groups.
    """
    whose = np.unique(units, return_inverse=True)[1]
    ranks = np.random.default_rng(0).permutation(int(whose.max(initial=-1)) + 1)
    groups, drawn = min(GROUPS, len(ranks)), min(UNITS, len(ranks))
    if groups < 2:
        return Error(np.nan, groups)
    dealt = np.where(ranks < drawn, ranks % groups, -1)[whose]
    found = np.array([number((dealt >= 0) & (dealt != group)) for group in range(groups)])
    square = (groups - 1) / groups * np.square(found - found.mean()).sum()
    return Error(float(np.sqrt(square * drawn / len(ranks))), groups)
