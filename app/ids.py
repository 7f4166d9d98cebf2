"""Rows by id, hundreds in one step: in a table that one look a candidate does not push out of the cache.

slots   2^b row numbers: an id's stands where the last bits of its hash say, unless another one's does
hashes  of the id at each row, 64 bits with a secret of the process: an id that has the hash of another's is as
        likely as one guessed

An id that does not stand in its slot is looked up in the dictionary: each look there waits for memory several times.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from model_store.parts import Rows

ROOM = 8  # slots for each id: of a hundred five find theirs taken
NONE = -1  # no string has this hash


class Ids:
    """Finds the rows of N ids, whose dictionary is `rows`."""

    def __init__(self, ids: Sequence[str], rows: Mapping[str, int]) -> None:
        size = len(ids)
        self._rows = rows
        self._hashes = np.append(_hashes(ids), NONE)  # the last one is that of slots without an id
        slots = 1 << (ROOM * size).bit_length()
        self._last = slots - 1
        self._slots = np.full(slots, size, dtype=np.int32)
        self._slots[self._hashes[:size] & self._last] = np.arange(size, dtype=np.int32)

    def find(self, ids: Sequence[str]) -> Rows:
        """Row numbers (n,), -1 for an unknown id."""
        hashes = _hashes(ids)
        rows = self._slots.take(hashes & self._last).astype(np.int64)
        (other,) = (self._hashes.take(rows) != hashes).nonzero()
        for place in other.tolist():
            rows[place] = self._rows.get(ids[place], -1)
        return rows


def _hashes(ids: Sequence[str]) -> Rows:
    return np.fromiter(map(hash, ids), np.int64, len(ids))
