"""What a history says of its user: the share of it that carries an item's value of an attribute, and how it grades.

Grades of events, such as 5 for five stars, are told as lifts: what they are above the usual grade. A mean lift is
(sum of lifts) / (events + pull), so that few events say little.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

PULL = 2.0  # events of the usual grade that stand beside those of a history


def profile(codes: NDArray[np.int32], size: int) -> NDArray[np.float64]:
    """Share of the history's events that carry each value of an attribute.

    codes: (L, K) value indices of the history's items, -1 for none; size: number of values.
    Returns (size,), all NaN for an empty history.
    """
    length = len(codes)
    if length == 0:
        return np.full(size, np.nan)
    known = codes[codes >= 0]
    return np.asarray(np.bincount(known, minlength=size) / length, dtype=np.float64)


def shares(taste: NDArray[np.float64], codes: NDArray[np.int32]) -> NDArray[np.float64]:
    """The `profile` read at candidates' values: the best of each item's values, NaN where it has none.

    taste: (V,); codes: (n, K), -1 for none. Returns (n,).
    """
    if taste.size == 0 or codes.shape[1] == 0:
        return np.full(len(codes), np.nan)
    values = np.where(codes >= 0, taste[codes], -1.0)  # NaN of an empty history passes through
    best = values.max(axis=1)
    return np.where(best < 0.0, np.nan, best)


class Tastes:
    """The profiles of G histories side by side, read at many candidates of each at once."""

    def __init__(
        self, codes: NDArray[np.int32], owners: NDArray[np.int64], sizes: NDArray[np.int64], size: int
    ) -> None:
        """codes (E, K) of all events, owners (E,) of each; sizes (G,): events of each owner; size: values."""
        keys = owners[:, None] * size + codes
        self._keys = np.sort(keys[codes >= 0])
        self._sizes = sizes
        self._size = size

    def shares(self, codes: NDArray[np.int32], owners: NDArray[np.int64]) -> NDArray[np.float64]:
        """As `shares` of each candidate's owner; codes (n, K), owners (n,). Returns (n,)."""
        if codes.shape[1] == 0:
            return np.full(len(codes), np.nan)
        keys = owners[:, None] * self._size + codes
        first, stop = (np.searchsorted(self._keys, keys, side=side) for side in ("left", "right"))
        sizes = self._sizes[owners]
        found = np.where(codes >= 0, (stop - first) / np.maximum(sizes, 1)[:, None], -1.0).max(axis=1)
        return np.where((found < 0.0) | (sizes == 0), np.nan, found)


class Grades:
    """How G users graded: E events, those of one user in order of time."""

    def __init__(
        self, kinds: NDArray[np.int64], owners: NDArray[np.int64], size: int, lifts: Mapping[int, float]
    ) -> None:
        """kinds, owners (E,), owners ascending; size: number of users; lifts: by kind, of those that grade."""
        self._kinds, self._owners, self._size, self._lifts = kinds, owners, size, lifts

    def mood(self, events: int) -> NDArray[np.float64]:
        """Mean lift of each user's newest events, (G,)."""
        ends = np.searchsorted(self._owners, np.arange(self._size), side="right")
        newest = np.arange(len(self._kinds)) >= ends[self._owners] - events
        counts = {
            kind: np.bincount(self._owners[newest & (self._kinds == kind)], minlength=self._size)
            for kind in self._lifts
        }
        return lift(counts, self._lifts, PULL)

    def taste(
        self, past: NDArray[np.int32], codes: NDArray[np.int32], owners: NDArray[np.int64], size: int
    ) -> NDArray[np.float64]:
        """Mean lift of the owner's events that share a value with each candidate, once for each value shared.

        past (E, K): values of the events' items, codes (n, K) of the candidates, -1 for none; owners (n,);
        size: number of values. Returns (n,).
        """
        if codes.shape[1] == 0:
            return np.zeros(len(codes))
        keys = self._owners[:, None] * size + past
        asked = owners[:, None] * size + codes
        counts = {}
        for kind in self._lifts:
            told = np.sort(keys[(past >= 0) & (self._kinds == kind)[:, None]])
            found = np.searchsorted(told, asked, side="right") - np.searchsorted(told, asked, side="left")
            counts[kind] = np.where(codes >= 0, found, 0).sum(axis=1)
        return lift(counts, self._lifts, PULL)


def lift(counts: Mapping[Any, NDArray[Any]], lifts: Mapping[Any, float], pull: float) -> NDArray[np.float64]:
    """Mean lift of counted events, of each cell: in the order of `lifts`, so that both sides add up alike."""
    told = sum(counts[key] * lifts[key] for key in lifts)
    return np.asarray(told / (sum(counts[key] for key in lifts) + pull), dtype=np.float64)
