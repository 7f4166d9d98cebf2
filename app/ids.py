"""Rows by id, hundreds in one step: in a table that one look a candidate does not push out of the cache.

slots   2^b row numbers: an id's stands where the last bits of its hash say, unless another one's does
hashes  of the id at each row, 64 bits with a secret of the process: an id that has the hash of another's is as
        likely as one guessed

An id that does not stand in its slot is looked up in the dictionary: each look there waits for memory several times.
"""

from collections.abc import Collection, Sequence

import numpy as np

from model_store.parts import Rows

ROOM = 8  # slots for each id: of a hundred five find theirs taken
NONE = -1  # no string has this hash


class Ids:
    """Finds the rows of ids, all of them below `most`; `rows`: those that are there from the beginning."""

    def __init__(self, rows: dict[str, int], most: int) -> None:
        self._rows = rows
        self._hashes = np.full(most + 1, NONE)
        slots = 1 << (ROOM * most).bit_length()
        self._last = slots - 1
        self._slots = np.zeros(slots, dtype=np.int32)  # memory is taken as slots are
        hashes, numbers = _hashes(rows), np.fromiter(rows.values(), np.int64, len(rows))
        self._hashes[numbers] = hashes
        self._slots[hashes & self._last] = numbers

    def put(self, item: str, row: int) -> None:
        """An id that is not there, at a row without one."""
        self._rows[item] = row
        self._hashes[row] = hash(item)
        self._slots[hash(item) & self._last] = row

    def pop(self, item: str) -> int | None:
        """Let an id go; the row that it had."""
        row = self._rows.pop(item, None)
        if row is not None:
            self._hashes[row] = NONE
        return row

    def clear(self) -> None:
        """Let all go."""
        self._rows.clear()
        self._hashes.fill(NONE)

    def find(self, ids: Sequence[str]) -> Rows:
        """Row numbers (n,), -1 for an id that is not there."""
        hashes = _hashes(ids)
        rows = self._slots.take(hashes & self._last).astype(np.int64)
        (other,) = (self._hashes.take(rows) != hashes).nonzero()
        for place in other.tolist():
            rows[place] = self._rows.get(ids[place], -1)
        return rows

    @property
    def names(self) -> list[str]:
        """All that are there."""
        return list(self._rows)

    def __contains__(self, item: str) -> bool:
        return item in self._rows

    def __len__(self) -> int:
        return len(self._rows)


def _hashes(ids: Collection[str]) -> Rows:
    return np.fromiter(map(hash, ids), np.int64, len(ids))
