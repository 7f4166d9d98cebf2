"""The log played again: what was known of an item, and of an item and a user, just before each moment.

Times become ranks among the log's distinct times, so that (item, time) is one integer and "how many events of this
item came before then" is one binary search. A query sees what is strictly earlier, nothing of its own moment.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_store.clock import Times
from model_store.counters import MEMORY, Layout, Records, Statistics
from model_store.moment import SHOWN_LISTS, SHOWN_SECONDS, VIEW, Met

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Log:
    """What happened to items: items, kinds (places in the layout's events) and times (m,), in order of time.

    told: by column of the events, items, times and values (k,) of the rows that have one.
    """

    items: Ints
    kinds: Ints
    times: Times
    told: dict[str, tuple[Ints, Times, Floats]]

    @property
    def end(self) -> float:
        """Time of the newest event, unix seconds; 0 for an empty log."""
        newest = [float(self.times[-1])] if len(self.times) else []
        return max(
            [*newest, *(float(times.max()) for _, times, _ in self.told.values() if len(times))], default=0.0
        )

    def until(self, time: float) -> "Log":
        """The part strictly before a time."""
        kept = self.times < time
        told = {name: tuple(part[rows[1] < time] for part in rows) for name, rows in self.told.items()}
        return Log(self.items[kept], self.kinds[kept], self.times[kept], told)  # type: ignore[arg-type]

    def records(self, layout: Layout, size: int) -> Records:
        """The records of `size` items at the end of the log: the priors of a bundle."""
        records = layout.count(size, self.items, self.kinds, self.times)
        for column, (items, times, values) in self.told.items():
            layout.remember(records, column, items, times=times, values=values)
        return records


def read(events: pl.DataFrame, items: Ints, layout: Layout) -> Log:
    """The log of an events table; items: number of each row's item."""
    frame = events.with_columns(number=pl.Series(items))
    parts = []
    for kind, name in enumerate(layout.events):
        if name == VIEW:
            rows = lists(frame).filter(pl.col("impression").is_not_null())
            parts.append(rows.select("number", time="shown_at", kind=kind))
        else:
            rows = frame.filter(pl.col("events").list.contains(name))
            parts.append(rows.select("number", "time", kind=kind))
    empty = pl.DataFrame(schema={"number": pl.Int64, "time": pl.Float64, "kind": pl.Int32})
    found = pl.concat([empty, *parts], how="vertical_relaxed").sort("time", maintain_order=True)
    told = {}
    for column in layout.latest:
        rows = frame.select("number", "time", f"number:{column}").drop_nulls()
        told[column] = (
            rows["number"].to_numpy(),
            rows["time"].to_numpy(),
            rows[f"number:{column}"].to_numpy(),
        )
    return Log(
        found["number"].to_numpy().astype(np.int64),
        found["kind"].to_numpy().astype(np.int64),
        found["time"].to_numpy().astype(np.float64),
        told,
    )


def lists(events: pl.DataFrame) -> pl.DataFrame:
    """The rows with `shown_at`: when their list was shown, the time of its first row."""
    return events.with_columns(shown_at=pl.col("time").min().over("impression", "user"))


class Replay:
    """Reads a log at any moment."""

    def __init__(self, log: Log, layout: Layout, size: int) -> None:
        self._layout = layout
        self._first = np.full(size, np.nan)
        if len(log.items):
            items, places = np.unique(log.items, return_index=True)
            self._first[items] = log.times[places]  # in order of time: the first row is the earliest
        self._kinds = [
            Series.of(log.items[log.kinds == kind], log.times[log.kinds == kind], size)
            for kind in range(len(layout.events))
        ]
        self._told = [
            (Series.of(items, times, size), values[np.lexsort((np.arange(len(items)), times, items))])
            for items, times, values in (log.told[column] for column in layout.latest)
        ]

    def statistics(self, items: Ints, now: Times) -> Statistics:
        """What was counted of items (n,) just before the moments `now` (n,)."""
        order = np.argsort(items, kind="stable")  # neighbours in the search lie side by side in memory
        items, now = items[order], now[order]
        layout = self._layout
        counts = np.zeros((len(items), len(layout.events), len(layout.windows)))
        last = np.full((len(items), len(layout.events)), np.nan)
        latest = np.full((len(items), len(layout.latest)), np.nan)
        for kind, series in enumerate(self._kinds):
            stops = series.before(items, now)
            last[:, kind] = series.times_before(items, stops)
            last[last[:, kind] < now - MEMORY, kind] = np.nan
            for place, window in enumerate(layout.windows):
                counts[:, kind, place] = stops - series.before(items, window.start(now))
        for place, (series, values) in enumerate(self._told):
            stops = series.before(items, now)
            known = series.times_before(items, stops) >= now - MEMORY
            latest[known, place] = values[stops[known] - 1]
        first = self._first[items]
        first[~(first < now)] = np.nan
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return Statistics(counts[back], last[back], first[back], latest[back])


@dataclass(frozen=True)
class Series:
    """Times by key: `ranked` (m,) is key x (distinct times + 1) + rank, ascending; keys begin at `starts`."""

    ranked: Ints
    distinct: Times
    times: Times
    starts: Ints

    @classmethod
    def of(cls, keys: Ints, times: Times, size: int) -> "Series":
        """From events in any order; keys are below `size`."""
        distinct, ranks = np.unique(times, return_inverse=True)
        ranked = keys * (len(distinct) + 1) + ranks
        order = np.argsort(ranked, kind="stable")
        starts = np.searchsorted(keys[order], np.arange(size))
        return cls(ranked[order], distinct, times[order], starts)

    def before(self, keys: Ints, times: Times) -> Ints:
        """Where the events of each key stop that are strictly before each time: places in `times`."""
        ranks = np.searchsorted(self.distinct, times)
        return np.searchsorted(self.ranked, keys * (len(self.distinct) + 1) + ranks)

    def times_before(self, keys: Ints, stops: Ints) -> Times:
        """Time of the event before each place, NaN where it is another key's."""
        found = np.full(len(keys), np.nan)
        known = stops > self.starts[keys]
        found[known] = self.times[stops[known] - 1]
        return found


class Meetings:
    """How often user and item met, in stretches of a sequence in which each user's part is ordered by time."""

    def __init__(self, users: Ints, items: Ints, places: Ints, times: Times) -> None:
        """Each meeting's user, item and place (m,) in the sequence; times (m,)."""
        self._width = int(items.max(initial=0)) + 1
        self._span = int(places.max(initial=0)) + 2
        pairs = users * self._width + items
        self._known = np.unique(pairs)
        ranked = np.searchsorted(self._known, pairs) * self._span + places
        order = np.argsort(ranked, kind="stable")
        self._ranked, self._times = ranked[order], times[order]

    def between(self, users: Ints, items: Ints, starts: Ints, stops: Ints) -> Met:
        """Meetings of each pair (n,) at places from `starts` up to, not including, `stops`."""
        if not len(self._known):
            return Met(np.zeros(len(users)), np.full(len(users), np.nan))
        pairs = users * self._width + items
        codes = np.minimum(np.searchsorted(self._known, pairs), len(self._known) - 1)
        known = (self._known[codes] == pairs) & (items < self._width) & (users >= 0)
        low = np.searchsorted(self._ranked, codes * self._span + np.minimum(starts, self._span - 1))
        high = np.searchsorted(self._ranked, codes * self._span + np.minimum(stops, self._span - 1))
        counts = np.where(known, high - low, 0).astype(np.float64)
        last = np.where(counts > 0, self._times[np.maximum(high - 1, 0)], np.nan)
        return Met(counts, last)


@dataclass(frozen=True)
class Lists:
    """Lists that were shown to users, in order of user and time, and what stood in them."""

    series: Series
    meetings: Meetings
    items: Ints
    starts: Ints  # (l + 1,) of each list in `items`

    @classmethod
    def read(cls, events: pl.DataFrame, users: Ints, items: Ints, size: int) -> "Lists":
        """From an events table; users and items: number of each row's, users -1 for nobody."""
        numbered = events.with_columns(owner=pl.Series(users), number=pl.Series(items))
        frame = (
            lists(numbered)
            .with_row_index("row")
            .filter(pl.col("impression").is_not_null() & (pl.col("owner") >= 0))
        )
        rows = frame.with_columns(first=pl.col("row").min().over("impression", "owner"))
        rows = rows.sort("owner", "shown_at", "first", "row")
        rows = rows.with_columns(place=pl.struct("owner", "first").rle_id().cast(pl.Int64))
        each = rows.unique("place", keep="first", maintain_order=True)
        owners, places = rows["owner"].to_numpy(), rows["place"].to_numpy()
        meetings = Meetings(owners, rows["number"].to_numpy(), places, rows["shown_at"].to_numpy())
        series = Series.of(each["owner"].to_numpy(), each["shown_at"].to_numpy(), size)
        starts = np.searchsorted(places, np.arange(len(each) + 1))
        return cls(series, meetings, rows["number"].to_numpy(), starts)

    def newest(self, user: int, until: float, limit: int) -> list[tuple[float, Ints]]:
        """The newest lists of a user up to a time, oldest first: when, and which items."""
        stop = int(self.series.before(np.array([user]), np.array([np.nextafter(until, np.inf)]))[0])
        places = range(max(int(self.series.starts[user]), stop - limit), stop)
        return [
            (float(self.series.times[n]), self.items[self.starts[n] : self.starts[n + 1]]) for n in places
        ]

    def shown(self, users: Ints, items: Ints, now: Times) -> Met:
        """How often each item was in the newest lists of its user before `now`."""
        stops = self.series.before(users, now)
        recent = self.series.before(users, now - SHOWN_SECONDS)
        return self.meetings.between(users, items, np.maximum(stops - SHOWN_LISTS, recent), stops)
