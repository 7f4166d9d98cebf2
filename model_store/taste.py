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
