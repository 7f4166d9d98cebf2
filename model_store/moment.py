"""What is known when candidates are scored: the raw quantities that the features are made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.clock import Times
from model_store.counters import Statistics

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

VIEW = "view"  # the event of every item of a list that was shown
SHOWN_LISTS, SHOWN_SECONDS = 50, 7 * 86_400.0  # how far back a user's lists are remembered


@dataclass(frozen=True)
class Met:
    """How often each candidate and the user met, (n,), and when last, (n,) unix seconds, NaN for never."""

    counts: Floats
    last: Times


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What is known of n candidates; every array has shape (n,) or broadcasts to it.

    now, published, last_event: unix seconds, NaN where unknown; sizes: events in the history;
    shares: by attribute, NaN where the item has no value or the history is empty; habits: by event of the history,
    NaN where that is empty; moods: by number of newest events, and tastes: by attribute, see taste.py; numbers: by
    column of the items, NaN where missing; kinds: by attribute, places (n, K) of the item's values in the known
    ones, -2 for no value or another one; words: by column of the request, places in the known words, -1 for any
    other; matches, queries: by measure, see words.py.
    The lists of candidates begin at `starts`: one list if it is left out. lengths: of each one's list, if not those.
    """

    now: Times
    published: Times
    last_event: Times
    sizes: Floats
    shares: Mapping[str, Floats] = field(default_factory=dict)
    habits: Mapping[str, Floats] = field(default_factory=dict)
    moods: Mapping[str, Floats] = field(default_factory=dict)
    tastes: Mapping[str, Floats] = field(default_factory=dict)
    statistics: Statistics | None = None
    shown: Met | None = None
    again: Met | None = None
    numbers: Mapping[str, Floats] = field(default_factory=dict)
    kinds: Mapping[str, Ints] = field(default_factory=dict)
    words: Mapping[str, Ints] = field(default_factory=dict)
    matches: Mapping[str, Floats] = field(default_factory=dict)
    queries: Mapping[str, Floats] = field(default_factory=dict)
    starts: Ints = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    lengths: Ints | None = None

    @property
    def rows(self) -> int:
        """Number of candidates."""
        return max(map(len, (self.now, self.published, self.last_event, self.sizes)))

    @property
    def crowd(self) -> Ints:
        """Candidates of each one's list, (n,), or (1,) if there is one list."""
        if self.lengths is not None:
            return self.lengths
        if len(self.starts) == 1:
            return np.array([self.rows])
        sizes = np.diff(self.starts, append=self.rows)
        return np.repeat(sizes, sizes)

    def at(self, rows: Ints) -> "Moment":
        """What all candidates of an asker share, told of one of each, (G,)."""
        crowd = self.crowd

        def some(each: NDArray[Any]) -> NDArray[Any]:
            return each if len(each) == 1 else each[rows]

        return Moment(
            now=some(self.now),
            published=some(self.published),
            last_event=some(self.last_event),
            sizes=some(self.sizes),
            habits={name: some(each) for name, each in self.habits.items()},
            moods={name: some(each) for name, each in self.moods.items()},
            words={name: some(each) for name, each in self.words.items()},
            queries={name: some(each) for name, each in self.queries.items()},
            lengths=some(crowd),
        )


def met(items: Ints, past: Ints, times: Times) -> Met:
    """Meetings of one user: candidates `items` (n,) among `past` (L,) with its times (L,), as item numbers."""
    order = np.lexsort((times, past))
    past, times = past[order], np.append(times[order], np.nan)
    first, stop = (np.searchsorted(past, items, side=side) for side in ("left", "right"))
    return Met((stop - first).astype(np.float64), times[np.where(stop > first, stop - 1, -1)])
