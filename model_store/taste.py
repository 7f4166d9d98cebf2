"""The share of a user's history that carries an item's value of an attribute."""

import numpy as np
from numpy.typing import NDArray


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
