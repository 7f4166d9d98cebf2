"""A candidate among the others: its rank, and how far it is from the best and from the mean of its list."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FORMS = ("rank", "gap", "lead")
BLOCK = 16_384  # values compared at once: what they take is found in a core's cache, and needs no new memory


def relative(values: Floats, starts: Ints) -> Floats:
    """values (C, n), NaN where missing; lists begin at `starts` (L,) and are not empty. Returns (C, 3, n).

    rank: 0 for the greatest to 1 for the least, equal ones share their mean; gap: to the greatest, 0 or less;
    lead: over the mean. Missing values take no part and stand in the middle: 0.5, 0 and 0.
    """
    forms = np.empty((len(values), len(FORMS), values.shape[1]))
    step = max(1, BLOCK // values.shape[1])
    for begin in range(0, len(values), step):
        block = slice(begin, begin + step)
        _compare(values[block], starts, forms[block])
    return forms


def _compare(values: Floats, starts: Ints, forms: Floats) -> None:
    """Fill in the forms of some columns."""
    keys = np.fmin(-values, np.inf)  # fmin and fmax pass over NaN, in less time than a mask takes
    order = _order(keys, starts)
    ordered = keys.ravel()[order]
    known, sizes = ordered < np.inf, np.diff(starts, append=values.shape[1])
    number = np.maximum(np.add.reduceat(known, starts, axis=1, dtype=np.int64), 1)
    places = _places(ordered, starts) / _each(np.maximum(number - 1, 1), sizes)
    ranks = np.empty(values.shape)
    ranks.ravel()[order] = np.where(known, places, 0.5)
    # summed in order of size: the mean does not depend on the order of the candidates
    mean = np.add.reduceat(np.where(known, -ordered, 0.0), starts, axis=1) / number
    lead = values - _each(mean, sizes)
    forms[:, 0] = ranks
    np.fmin(values + _each(ordered[:, starts], sizes), 0.0, out=forms[:, 1])
    np.add(np.fmin(lead, 0.0), np.fmax(lead, 0.0), out=forms[:, 2])


def _each(values: NDArray[np.number], sizes: Ints) -> NDArray[np.number]:
    """Values of lists (..., L) as those of their candidates, (..., n), or (..., 1) if there is one list."""
    return values if len(sizes) == 1 else np.repeat(values, sizes, axis=-1)


def _order(keys: Floats, starts: Ints) -> Ints:
    """Where each row's keys stand from the least, list after list, as places in all of `keys` (C, n)."""
    order = np.argsort(keys, axis=1)
    rows, width = keys.shape
    if len(starts) > 1:
        owners = np.zeros(width, dtype=np.min_scalar_type(len(starts)))  # short integers are sorted by radix
        owners[starts[1:]] = 1
        lists = np.argsort(np.cumsum(owners, dtype=owners.dtype)[order], axis=1, kind="stable")
        order = np.take_along_axis(order, lists, axis=1)
    order += (np.arange(rows) * width)[:, None]
    return order


def _places(ordered: Floats, starts: Ints) -> Floats:
    """Place of each sorted key in its list, from 0 for the least; equal ones share the mean of theirs."""
    rows, width = ordered.shape
    new = np.ones((rows, width), dtype=bool)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    new[:, starts] = True
    firsts = np.flatnonzero(new)  # of each run of equal keys, through all rows
    lengths = np.diff(firsts, append=rows * width)
    places = np.repeat(firsts + (lengths - 1) / 2.0, lengths).reshape(rows, width)
    lists = _each(starts, np.diff(starts, append=width))
    places -= (np.arange(rows) * width)[:, None] + lists
    return places
