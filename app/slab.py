"""Records of items side by side in one array, each in a slot of its own: hundreds are gathered in one step."""

from collections.abc import Sequence

import numpy as np

from app.ids import Ids
from model_store.counters import Layout, Records
from model_store.moment import Ints

NOWHERE = 0  # the slot of every item that is not here: it is always too old
SHARE = 8  # so many parts of the slots; one is emptied when all are taken


class Slab:
    """Records in so many bytes; those that were read longest ago go first. One thread only: the event loop's."""

    def __init__(self, layout: Layout, size: int) -> None:
        slots = 1 + max(SHARE, 0 if layout.empty else size // layout.dtype.itemsize)
        self._records = np.zeros(slots, dtype=layout.dtype)  # memory is taken as slots are
        self._records[NOWHERE] = layout.blank(1)[0]
        self._times = np.full(slots, -np.inf)
        self._slots = Ids({}, slots)
        self._names: list[str] = [""] * slots
        self._free = list(range(slots - 1, NOWHERE, -1))  # the last is taken first

    def gather(self, items: Sequence[str], since: float) -> tuple[Records, Ints]:
        """Records of items (n,), and the places (m,) of those that were not put here at that time or later."""
        slots = np.maximum(self._slots.find(items), NOWHERE)
        missing = np.flatnonzero(self._times.take(slots) < since)
        return self._records.take(slots), missing  # several times as fast as [slots]

    def put(self, items: Sequence[str], records: Records, time: float) -> None:
        """Keep the records (n,) of distinct items as they were read at a time; of too many the first."""
        items = items[: len(self._times) - 1]
        while len(self._free) < sum(item not in self._slots for item in items):
            self._empty()
        slots = self._slots.find(items)
        for place in np.flatnonzero(slots < 0).tolist():
            slots[place] = self._take(items[place])
        self._records.put(slots, records[: len(items)])
        self._times[slots] = time

    def drop(self, item: str) -> None:
        """Forget a record, if it is here."""
        slot = self._slots.pop(item)
        if slot is not None:
            self._times[slot] = -np.inf
            self._free.append(slot)

    def clear(self) -> None:
        """Forget all."""
        self._times.fill(-np.inf)
        self._slots.clear()
        self._free = list(range(len(self._times) - 1, NOWHERE, -1))

    @property
    def items(self) -> list[str]:
        """All that are here."""
        return self._slots.names

    def __len__(self) -> int:
        return len(self._slots)

    def _take(self, item: str) -> int:
        slot = self._free.pop()
        self._slots.put(item, slot)
        self._names[slot] = item
        return slot

    def _empty(self) -> None:
        taken = np.flatnonzero(self._times > -np.inf)
        count = -(-len(self._times) // SHARE)
        for slot in taken[np.argsort(self._times[taken])[:count]].tolist():
            self.drop(self._names[slot])
