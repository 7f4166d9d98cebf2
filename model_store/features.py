"""Context features of the heads: one definition, read by the replay offline and by the service.

hour                    local time of day, two harmonics                                    4 columns
weekday                 local day of the week                                               2
item_age                log hours since the item was published, else first seen             1 + missing
since_last              log hours since the user's newest event                             1 + missing
history_size            log of the number of events in the history                          1
candidates              log of the number of candidates, up to the most that training saw   1
again                   how often the item is in the history: log, and log hours since      2 + missing
shown                   how often it was shown to the user lately: the same                 2 + missing
share:<attribute>       share of the history with the item's value                          1 + missing
habit:<event>           share of the history that is this event                             1 + missing
is:<attribute>          the item's values, of those that training saw most                  1 a value + other
count:<event>           log of the item's events, a column a window                         W
rate:<event>/<event>    log of their ratio over the usual one, smoothed                     W
since:<event>           log hours since the item's newest such event                        1 + missing
number:<column>         a number of the item, scaled                                        1 + missing
latest:<column>         the newest value that events told of the item, scaled               1 + missing
appeal:<window>         what the item's events of the window say of it: mean grade over the usual one     1
mood:<events>           the same of so many newest events of the history                    1
taste:<attribute>       the same of the events of the history whose item shares a value      1
context:<column>        a word of the request, such as its device                           1 a word + other
match:<measure>         how far the item's text has the words of the query, see words.py     1
query:<measure>         how many words the query has, and how rare                          1
list:<feature>          each column's rank, gap to the best and lead over the mean          3 a column + missing

`count`, `rate` and `since` take events joined by `+`; `count:click:1h` is one window. A missing value is a case of
its own: 0, and 1 in the column beside it. Grades are pulled towards the usual one, and 0
where there is none. The history is what the bundle keeps of the user's events; `shown` looks at the newest 50 lists
of 7 days.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from model_store import names
from model_store.clock import Clock, Times
from model_store.columns import Columns
from model_store.counters import Statistics, layout
from model_store.listwise import FORMS
from model_store.manifest import Features
from model_store.moment import Floats, Ints, Met, Moment
from model_store.names import Name
from model_store.taste import lift

Value = TypeVar("Value")
Maker = Callable[[Name, Moment, Floats], None]  # writes the values of a feature (V, n)
Matrix = NDArray[np.float32]

STRENGTH = 10.0  # a rate is pulled towards the usual one as if tried so many times more


@dataclass(frozen=True)
class Context:
    """Features of n candidates of G askers: columns that all of an asker share (G, Fs), and those of each (n, Fo)."""

    shared: Matrix
    own: Matrix


class FeatureSet:
    """The features that a bundle declares, in order. ValueError names one that is none."""

    def __init__(self, declared: Features, clock: Clock) -> None:
        self.declared = declared
        self.names = tuple(map(names.parse, declared.use))
        self.appeals = any(name.kind == "appeal" for name in self.names)
        graded = tuple(declared.grades) if self.appeals else ()
        counted = tuple(sorted({*names.counted(self.names), *graded}))
        self.layout = layout(counted, declared.windows, names.of("latest", self.names))
        self.attributes = names.of("share", self.names)
        self.numbers = names.of("number", self.names)
        self.words = {column: declared.words.get(column, ()) for column in names.of("context", self.names)}
        self.habits = names.of("habit", self.names)
        self.moods = names.of("mood", self.names)
        self.tastes = names.of("taste", self.names)
        self.lifts = {event: grade - declared.usual_grade for event, grade in declared.grades.items()}
        self.worded = any(name.kind in names.MEASURES for name in self.names)
        self.kinds = {name: declared.values.get(name, ()) for name in names.of("is", self.names)}
        self.shown = any(name.kind == "shown" for name in self.names)
        self.again = any(name.kind == "again" for name in self.names)
        self._clock = clock
        self._makers: dict[str, Maker] = {kind: getattr(self, f"_{kind}") for kind in names.KINDS}
        for name in self.names:
            self._windows(name)
        self._common, self._each = (
            Columns([name for name in self.names if (name.kind in names.SHARED) == shared], self._width)
            for shared in (True, False)
        )

    @cached_property
    def width(self) -> int:
        """Columns of the matrix."""
        return len(self.columns)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The feature that each column of the matrix belongs to."""
        return tuple(name.written for name in self.names for _ in range(self._span(name)))

    @cached_property
    def own(self) -> Ints:
        """The columns of the matrix that differ by candidate."""
        return np.flatnonzero(~self._shared)

    @cached_property
    def shared(self) -> Ints:
        """The columns of the matrix that all candidates of a list share."""
        return np.flatnonzero(self._shared)

    @cached_property
    def _shared(self) -> NDArray[np.bool_]:
        kinds = [name.kind for name in self.names for _ in range(self._span(name))]
        return np.isin(np.array(kinds, dtype=str), names.SHARED)

    def matrix(self, moment: Moment) -> Matrix:
        """Features of the n candidates, shape (n, width)."""
        shared, own = (self._made(columns, moment, moment.rows) for columns in (self._common, self._each))
        return self.rows(shared, own)

    def context(self, moment: Moment, firsts: Ints) -> Context:
        """The same in two parts; firsts (G,): where the candidates of each asker begin."""
        # of one list of one asker all that is shared is told once already
        few = moment if len(moment.starts) == len(moment.now) == 1 else moment.at(firsts)
        return Context(
            self._made(self._common, few, len(firsts)), self._made(self._each, moment, moment.rows)
        )

    def rows(self, shared: Matrix, own: Matrix) -> Matrix:
        """The matrix (n, width) of its columns (n, Fs) and (n, Fo)."""
        table = np.empty((len(own), self.width), dtype=np.float32)
        table[:, self.shared], table[:, self.own] = shared, own
        return table

    def _made(self, columns: Columns, moment: Moment, rows: int) -> Matrix:
        values = np.empty((columns.size, rows))
        for name, place in columns.places:
            self._makers[name.kind](name, moment, values[place])
        return columns.table(values, moment.starts)

    def _width(self, name: Name) -> int:
        """Values of a feature, not compared."""
        if name.kind == "context":
            return len(self.words[name.argument]) + 1
        if name.kind == "is":
            return len(self.kinds[name.argument]) + 1
        return len(self._windows(name)) if name.kind in ("count", "rate") else names.KINDS[name.kind]

    def _span(self, name: Name) -> int:
        """Columns of a feature."""
        return self._width(name) * (len(FORMS) if name.listed else 1) + name.optional

    def _hour(self, _: Name, moment: Moment, out: Floats) -> None:
        angle = self._clock.hours(moment.now) * (2.0 * np.pi / 24.0)
        out[0], out[1], out[2], out[3] = np.sin(angle), np.cos(angle), np.sin(2 * angle), np.cos(2 * angle)

    def _weekday(self, _: Name, moment: Moment, out: Floats) -> None:
        angle = np.floor(self._clock.weekdays(moment.now)) * (2.0 * np.pi / 7.0)
        out[0], out[1] = np.sin(angle), np.cos(angle)

    def _item_age(self, _: Name, moment: Moment, out: Floats) -> None:
        first = moment.published
        if moment.statistics:
            first = np.where(np.isnan(first), moment.statistics.first, first)
        _log_hours(moment.now - first, out[0])

    def _since_last(self, _: Name, moment: Moment, out: Floats) -> None:
        _log_hours(moment.now - moment.last_event, out[0])

    def _history_size(self, _: Name, moment: Moment, out: Floats) -> None:
        out[0] = np.log1p(moment.sizes) / 4.0

    def _candidates(self, _: Name, moment: Moment, out: Floats) -> None:
        out[0] = np.log1p(np.minimum(moment.crowd, self.declared.candidates)) / 4.0

    def _again(self, name: Name, moment: Moment, out: Floats) -> None:
        _meetings(name, moment.again, moment.now, out)

    def _shown(self, name: Name, moment: Moment, out: Floats) -> None:
        _meetings(name, moment.shown, moment.now, out)

    def _share(self, name: Name, moment: Moment, out: Floats) -> None:
        out[0] = _look(moment.shares, name, "the moment's shares")

    def _habit(self, name: Name, moment: Moment, out: Floats) -> None:
        out[0] = _look(moment.habits, name, "the moment's habits")

    def _mood(self, name: Name, moment: Moment, out: Floats) -> None:
        out[0] = _look(moment.moods, name, "the moment's moods")

    def _taste(self, name: Name, moment: Moment, out: Floats) -> None:
        out[0] = _look(moment.tastes, name, "the moment's tastes")

    def _match(self, name: Name, moment: Moment, out: Floats) -> None:
        out[0] = _look(moment.matches, name, "the moment's matches")

    def _query(self, name: Name, moment: Moment, out: Floats) -> None:
        out[0] = _look(moment.queries, name, "the moment's queries")

    def _appeal(self, name: Name, moment: Moment, out: Floats) -> None:
        counts = {event: self._counts(name, (event,), moment) for event in self.lifts}
        out[:] = lift(counts, self.lifts, STRENGTH)

    def _is(self, name: Name, moment: Moment, out: Floats) -> None:
        places = np.ascontiguousarray(_look(moment.kinds, name, "the moment's kinds").T)
        known = np.arange(len(out) - 1)[:, None]
        out[1:] = np.logical_or.reduce([each == known for each in places])
        out[0] = out[1:].max(axis=0, initial=0.0) == 0.0  # none of those that training saw most

    def _number(self, name: Name, moment: Moment, out: Floats) -> None:
        self._scaled(name, _look(moment.numbers, name, "the moment's numbers"), out[0])

    def _latest(self, name: Name, moment: Moment, out: Floats) -> None:
        column = self.layout.latest.index(name.argument)
        self._scaled(name, _told(name, moment).latest[:, column], out[0])

    def _context(self, name: Name, moment: Moment, out: Floats) -> None:
        places = np.arange(-1, len(self.words[name.argument]))  # -1: another word, or none
        out[:] = _look(moment.words, name, "the moment's words") == places[:, None]

    def _since(self, name: Name, moment: Moment, out: Floats) -> None:
        last = _told(name, moment).last[:, self._places(name.events)]
        _log_hours(moment.now - np.fmax.reduce(last, axis=1), out[0])

    def _count(self, name: Name, moment: Moment, out: Floats) -> None:
        np.log1p(self._counts(name, name.events, moment), out=out)

    def _rate(self, name: Name, moment: Moment, out: Floats) -> None:
        usual = _look(self.declared.rates, name, "the declaration's rates")
        counts, tried = (self._counts(name, events, moment) for events in (name.events, name.tried))
        # divided at once: where nothing was tried both are the same product, and the logarithm is 0
        np.log((counts + STRENGTH * usual) / ((tried + STRENGTH) * usual), out=out)

    def _counts(self, name: Name, events: Sequence[str], moment: Moment) -> Floats:
        """Events of any of the kinds, (windows of the name, n)."""
        counts = _told(name, moment).counts
        places = self._windows(name)
        whole = slice(None) if len(places) == counts.shape[2] else places
        return np.asarray(sum(counts[:, event, whole].T for event in self._places(events)))

    def _places(self, events: Sequence[str]) -> list[int]:
        return [self.layout.events.index(event) for event in events]

    def _windows(self, name: Name) -> list[int]:
        asked = name.argument if name.kind == "appeal" else name.window
        places = [n for n, window in enumerate(self.layout.windows) if asked in ("", window.name)]
        if asked and not places:
            raise ValueError(f"{name.written}: {asked} is not among the windows; add it to features.windows")
        return places

    def _scaled(self, name: Name, values: Floats, out: Floats) -> None:
        key = f"{name.kind}:{name.argument}"
        if key not in self.declared.scales:
            raise ValueError(f"{name.written}: the declaration's scales lack {key!r}")
        scale = self.declared.scales[key]
        told = np.log1p(np.maximum(values, 0.0)) if scale.log else values
        np.clip((told - scale.mean) / scale.std, -5.0, 5.0, out=out)


def _meetings(name: Name, found: Met | None, now: Times, out: Floats) -> None:
    if found is None:
        raise ValueError(f"{name.written}: the moment does not say how often they met")
    np.log1p(found.counts, out=out[0])
    _log_hours(now - found.last, out[1])


def _look(known: Mapping[str, Value], name: Name, where: str) -> Value:
    if name.argument not in known:
        raise ValueError(f"{name.written}: {where} lack {name.argument!r}")
    return known[name.argument]


def _told(name: Name, moment: Moment) -> Statistics:
    if moment.statistics is None:
        raise ValueError(f"{name.written}: the moment has no statistics")
    return moment.statistics


def _log_hours(seconds: Times, out: Floats) -> None:
    np.maximum(seconds, 0.0, out=out)
    out /= 3_600.0
    np.log1p(out, out=out)
    out /= 4.0
