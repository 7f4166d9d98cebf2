"""The bundle's counts joined to the live ones: what training's log held fades out as live counting goes on.

now ──────────────────────────────────────────────────────────────►
    log of training ┤until            began├ live counting
                    └── moved here ──►┘       the log stands as if it had ended when live counting began

nothing live            the log stands as if it had just ended
began after until       it is moved by the time between them; up to an hour is no gap: the log simply goes on
began before until      not moved; what lies after `began` is counted live, and left out of the log
"""

from dataclasses import dataclass

import numpy as np

from model_store.clock import Times
from model_store.counters import Layout, Records, Statistics
from model_store.moment import Ints

SEAMLESS = 3_600.0  # a gap that is none: seconds between the end of the log and the first live event


@dataclass(frozen=True)
class Stand:
    """Where the log is read: so many seconds later than it was, and only before a time."""

    offset: float | Times = 0.0
    before: float = np.inf


def stand(until: float, began: float | None, now: float | Times) -> Stand:
    """Where a log that ended at `until` stands at moments; `began`: when live counting did, None: not yet."""
    if began is None:
        return Stand(offset=now - until)
    if began > until + SEAMLESS:
        return Stand(offset=began - until)
    return Stand() if began >= until else Stand(before=began)


class Prior:
    """Records (N,) of the catalogue's items as training's log ended, None: there are none."""

    def __init__(self, layout: Layout, records: Records | None, until: float) -> None:
        self._layout = layout
        self._records = records
        self._until = until

    def read(self, rows: Ints, now: Times, began: float | None) -> Statistics:
        """What the log says at moments `now`, (n,) or (1,), of the rows (n,), -1 for an item not in the catalogue."""
        if self._records is None:
            records = self._layout.blank(len(rows))
        else:  # take and put are a dozen times as fast with records as indexing is
            records = self._records.take(np.maximum(rows, 0))
            records.put(np.flatnonzero(rows < 0), self._layout.blank(1))
        where = stand(self._until, began, now)
        offset = np.asarray(where.offset)
        return self._layout.read(records, now - offset, where.before).moved(offset.reshape(-1, 1))
