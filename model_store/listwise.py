"""A candidate among the others: its rank, and how far it is from the best and from the mean of its list."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FORMS = ("rank", "gap", "lead")


def relative(values: Floats, starts: Ints) -> Floats:
    """values (n, C), NaN where missing; lists begin at `starts` (L,) and are not empty. Returns (n, C, 3).

    rank: 0 for the greatest to 1 for the least, equal ones share their mean; gap: to the greatest, 0 or less;
    lead: over the mean. Missing values take no part and stand in the middle: 0.5, 0 and 0.
    """
    table = np.ascontiguousarray(values.T)  # (C, n): what is compared lies side by side
    missing = np.isnan(table)
    keys = np.where(missing, np.inf, -table)
    order = _sorted(keys, starts)
    ordered = np.take_along_axis(keys, order, axis=1)
    sizes = np.diff(starts, append=len(values))
    known = np.maximum(np.add.reduceat(~missing, starts, axis=1, dtype=np.int64), 1)
    # summed in order of size: the mean does not depend on the order of the candidates
    mean = np.add.reduceat(np.where(np.isinf(ordered), 0.0, -ordered), starts, axis=1) / known
    forms = np.empty((len(table), len(FORMS), len(values)))
    rank, gap, lead = forms[:, 0], forms[:, 1], forms[:, 2]
    np.put_along_axis(rank, order, _places(ordered, starts), axis=1)
    rank /= np.repeat(np.maximum(known - 1, 1), sizes, axis=1)
    np.add(table, np.repeat(ordered[:, starts], sizes, axis=1), out=gap)
    np.subtract(table, np.repeat(mean, sizes, axis=1), out=lead)
    for form, middle in ((rank, 0.5), (gap, 0.0), (lead, 0.0)):
        form[missing] = middle
    return forms.transpose(2, 0, 1)


def _sorted(keys: Floats, starts: Ints) -> Ints:
    """Order of each row's keys, list after list."""
    order = np.argsort(keys, axis=1)
    if len(starts) == 1:
        return order
    owners = np.zeros(keys.shape[1], dtype=np.int64)
    owners[starts[1:]] = 1
    lists = np.argsort(owners.cumsum()[order], axis=1, kind="stable")
    return np.take_along_axis(order, lists, axis=1)


def _places(ordered: Floats, starts: Ints) -> Floats:
    """Place of each sorted key in its list, from 0 for the least; equal ones share the mean of theirs."""
    rows, width = ordered.shape
    new = np.ones((rows, width), dtype=bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    new[:, starts] = True
    firsts = np.flatnonzero(new)  # of each run of equal keys, through all rows
    lengths = np.diff(firsts, append=rows * width)
    places = np.repeat(firsts + (lengths - 1) / 2.0, lengths).reshape(rows, width)
    places -= (np.arange(rows) * width)[:, None]
    places -= np.repeat(starts, np.diff(starts, append=width))
    return places
