"""Rows of tables, copied side by side: a few hundred at a time, into memory that is used again."""

import threading
from collections.abc import Iterator

import numpy as np

from model_store.parts import Rows, Tables, Vectors

ROWS = 512  # at once: more would overflow the cache


class Gather:
    """Room for the rows of as many tables as there are, which must not change. May be called from many threads."""

    def __init__(self) -> None:
        self._own = threading.local()

    def rows(self, tables: Tables, places: Rows) -> list[Vectors]:
        """At most ROWS of each table, (n, ·), in room of the thread's own that the next call overwrites."""
        tables = list(tables)
        room = getattr(self._own, "room", None)
        if room is None:
            room = self._own.room = [np.empty((ROWS, table.shape[1]), dtype=np.float32) for table in tables]
        found = [space[: len(places)] for space in room]
        for table, space in zip(tables, found, strict=True):
            table.take(places, axis=0, out=space, mode="clip")  # "raise" would copy twice
        return found


def cuts(size: int) -> Iterator[slice]:
    """As few equal stretches of at most ROWS as there must be."""
    step = -(-size // max(1, -(-size // ROWS)))
    for begin in range(0, size, max(1, step)):
        yield slice(begin, min(begin + step, size))
