"""The context of every candidate, as the service will compute it: what was known just before its request."""

from dataclasses import replace
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model_store.clock import Times
from model_store.counters import Layout, Statistics
from model_store.features import FeatureSet
from model_store.moment import Met, Moment
from model_store.taste import Grades, profile, shares
from model_store.words import ASKED, MATCHES
from training.dataset import Dataset
from training.replay import Lists, Log, Meetings, Replay

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ROWS = 200_000  # candidates whose quantities are in memory at once


class Recall(Protocol):
    """Where statistics come from. What it tells is of before `now`, strictly."""

    def statistics(self, items: Ints, now: Times) -> Statistics:
        """Of items (n,) at the moments `now` (n,)."""

    def shown(self, users: Ints, items: Ints, now: Times, /) -> Met:
        """How often each item was shown to its user."""


class Replayed:
    """The log itself, played again."""

    def __init__(self, log: Log, lists: Lists | None, layout: Layout, items: int) -> None:
        self._replay, self._lists = Replay(log, layout, items), lists

    def statistics(self, items: Ints, now: Times) -> Statistics:
        """As the counters stood."""
        return self._replay.statistics(items, now)

    def shown(self, users: Ints, items: Ints, now: Times, /) -> Met:
        """As the users' lists stood."""
        return self._lists.shown(users, items, now) if self._lists else unmet(len(items))


def unmet(size: int) -> Met:
    """They never met."""
    return Met(np.zeros(size), np.full(size, np.nan))


def context(dataset: Dataset, recall: Recall) -> NDArray[np.float32]:
    """Features of every candidate, (M, F)."""
    features = FeatureSet(dataset.features, dataset.clock)
    moments = Moments(dataset, features, recall)
    found = np.empty((len(dataset.rows), features.width), dtype=np.float32)
    starts = dataset.requests.starts
    begin = 0
    while begin < len(dataset.requests):
        end = max(begin + 1, int(np.searchsorted(starts, starts[begin] + ROWS, side="right")) - 1)
        found[starts[begin] : starts[end]] = features.matrix(moments.of(begin, end))
        begin = end
    return found


class Moments:
    """What was known at the requests of a data set."""

    def __init__(self, dataset: Dataset, features: FeatureSet, recall: Recall) -> None:
        self._data, self._features, self._recall = dataset, features, recall
        self._kinds = {name: dataset.attributes[name].places(known) for name, known in features.kinds.items()}
        history = dataset.histories
        kinds = {name: number for number, name in enumerate(dataset.config.history.events, start=1)}
        self._counted = {
            event: np.append(0, np.cumsum(history.events == kinds[event])) for event in features.habits
        }
        self._lifts = {kinds[event]: told for event, told in features.lifts.items()}
        owners = np.repeat(np.arange(len(history.starts) - 1), np.diff(history.starts))
        places = np.arange(len(history.items))
        self._past = Meetings(owners, history.items, places, history.times) if features.again else None

    def of(self, begin: int, end: int) -> Moment:
        """The moment of the requests from `begin` up to, not including, `end`: their lists side by side."""
        data, requests = self._data, self._data.requests
        rows = slice(requests.starts[begin], requests.starts[end])
        owners, items = requests.owners[rows], data.rows[rows]
        now, users, history = requests.times[owners], requests.users[owners], requests.history[owners]
        sizes = (history[:, 1] - history[:, 0]).astype(np.float64)
        last = np.full(len(items), np.nan)
        last[sizes > 0] = data.histories.times[history[sizes > 0, 1] - 1]
        moods, tastes = self._grades(begin, end)
        matches, queries = self._worded(begin, end)
        counted, shown = not self._features.layout.empty, self._features.shown
        return Moment(
            now=now,
            published=data.published[items],
            last_event=last,
            sizes=sizes,
            shares={name: self._shares(name, begin, end) for name in self._features.attributes},
            habits={event: self._habit(event, history, sizes) for event in self._features.habits},
            moods=moods,
            tastes=tastes,
            statistics=self._statistics(rows) if counted else None,
            shown=self._recall.shown(users, items, now) if shown else None,
            again=self._past.between(users, items, history[:, 0], history[:, 1]) if self._past else None,
            numbers={name: data.numbers[name][items] for name in self._features.numbers},
            kinds={name: places[data.attributes[name].codes[items]] for name, places in self._kinds.items()},
            words={column: codes[owners] for column, codes in data.words.items()},
            matches=matches,
            queries=queries,
            starts=requests.starts[begin:end] - requests.starts[begin],
        )

    def _worded(self, begin: int, end: int) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """What the queries of requests are, and how their candidates match them."""
        data, requests = self._data, self._data.requests
        if data.wording is None:
            return {}, {}
        starts = requests.starts[begin : end + 1] - requests.starts[begin]
        matches, queries = np.zeros((len(MATCHES), starts[-1])), np.zeros((len(ASKED), starts[-1]))
        for number, (start, stop) in enumerate(pairwise(starts), begin):
            if requests.queries[number] >= 0:
                asked = data.wording.asked(data.texts[requests.queries[number]])
                rows = data.rows[requests.starts[number] : requests.starts[number + 1]]
                matches[:, start:stop] = asked.matched(data.wording.rows[rows])
                queries[:, start:stop] = asked.told()[:, None]
        return dict(zip(MATCHES, matches, strict=True)), dict(zip(ASKED, queries, strict=True))

    def _statistics(self, rows: slice) -> Statistics:
        """What was counted of the items, but for what the rows themselves are."""
        owners = self._data.requests.owners[rows]
        found = self._recall.statistics(self._data.rows[rows], self._data.requests.times[owners])
        own = self._data.own
        return found if own is None else replace(found, counts=found.counts - own[rows])

    def _grades(self, begin: int, end: int) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """Moods and tastes of the candidates of requests."""
        data, requests = self._data, self._data.requests
        starts, stops = requests.history[begin:end].T
        sizes = stops - starts
        places = np.repeat(starts - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
        whose = np.repeat(np.arange(end - begin), sizes)
        grades = Grades(data.histories.events[places], whose, end - begin, self._lifts)
        rows = slice(requests.starts[begin], requests.starts[end])
        owners = requests.owners[rows] - begin
        moods = {events: grades.mood(int(events))[owners] for events in self._features.moods}
        tastes = {}
        for name in self._features.tastes:
            attribute = data.attributes[name]
            past, codes = attribute.codes[data.histories.items[places]], attribute.codes[data.rows[rows]]
            tastes[name] = grades.taste(past, codes, owners, len(attribute.values))
        return moods, tastes

    def _habit(self, event: str, history: Ints, sizes: Floats) -> Floats:
        """Share of each history, bounds (n, 2), that is the event."""
        before = self._counted[event]
        found = np.full(len(history), np.nan)
        some = sizes > 0
        found[some] = (before[history[some, 1]] - before[history[some, 0]]) / sizes[some]
        return found

    def _shares(self, name: str, begin: int, end: int) -> Floats:
        data, requests, attribute = self._data, self._data.requests, self._data.attributes[name]
        first = requests.starts[begin]
        found = np.empty(requests.starts[end] - first)
        for number in range(begin, end):
            start, stop = requests.history[number]
            rows = slice(requests.starts[number], requests.starts[number + 1])
            taste = profile(attribute.codes[data.histories.items[start:stop]], len(attribute.values))
            found[rows.start - first : rows.stop - first] = shares(taste, attribute.codes[data.rows[rows]])
        return found
