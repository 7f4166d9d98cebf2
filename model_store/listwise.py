"""A candidate among the others: its rank, and how far it is from the best and from the mean of its list."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FORMS = ("rank", "gap", "lead")


def relative(values: Floats, starts: Ints) -> Floats:
    """values (n, C), NaN where missing; lists begin at `starts` (L,) and are not empty. Returns (n, 3, C).

    rank: 0 for the greatest to 1 for the least, equal ones share their mean; gap: to the greatest, 0 or less;
    lead: over the mean. Missing values take no part and stand in the middle: 0.5, 0 and 0.
    """
    known = ~np.isnan(values)
    sizes = np.diff(np.append(starts, len(values)))
    owners = np.repeat(np.arange(len(starts)), sizes)
    counts = np.add.reduceat(known.astype(np.int64), starts, axis=0)
    best = np.maximum.reduceat(np.where(known, values, -np.inf), starts, axis=0)
    mean = np.add.reduceat(np.where(known, values, 0.0), starts, axis=0) / np.maximum(counts, 1)
    places = _places(np.where(known, -values, np.inf), starts, owners)
    rank = places / np.maximum(counts - 1, 1)[owners]
    with np.errstate(invalid="ignore"):  # a list of nothing but missing values has no best
        forms = np.stack([rank, values - best[owners], values - mean[owners]], axis=1)
    forms[:, 0][~known] = 0.5
    forms[:, 1:][~np.stack([known, known], axis=1)] = 0.0
    return forms


def _places(keys: Floats, starts: Ints, owners: Ints) -> Floats:
    """Place of each value in its list, from 0 for the least; equal ones share the mean of theirs."""
    order = np.argsort(keys, axis=0, kind="stable")
    if len(starts) > 1:
        order = np.take_along_axis(order, np.argsort(owners[order], axis=0, kind="stable"), axis=0)
    ordered = np.take_along_axis(keys, order, axis=0)
    begins = np.zeros(len(keys), dtype=bool)
    begins[starts] = True
    new = np.ones(keys.shape, dtype=bool)
    new[1:] = (ordered[1:] != ordered[:-1]) | begins[1:, None]
    numbers = np.arange(len(keys))[:, None]
    first = np.maximum.accumulate(np.where(new, numbers, 0), axis=0)
    ends = np.ones(keys.shape, dtype=bool)
    ends[:-1] = new[1:]
    last = np.minimum.accumulate(np.where(ends, numbers, len(keys))[::-1], axis=0)[::-1]
    places = np.empty(keys.shape)
    np.put_along_axis(places, order, (first + last) / 2.0 - starts[owners][:, None], axis=0)
    return places
