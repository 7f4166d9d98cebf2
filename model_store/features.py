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
context:<column>        a word of the request, such as its device                           1 a word + other
list:<feature>          each column's rank, gap to the best and lead over the mean          3 a column + missing

`count`, `rate` and `since` take events joined by `+`; `count:click:1h` is one window. A missing value is a case of
its own: 0, and 1 in the column beside it. The history is what the bundle keeps of the user's events; `shown` looks
at the newest 50 lists of 7 days.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from model_store import names
from model_store.clock import Clock, Times
from model_store.counters import Statistics, layout
from model_store.listwise import FORMS, relative
from model_store.manifest import Features
from model_store.moment import Floats, Ints, Met, Moment
from model_store.names import Name

Value = TypeVar("Value")
Maker = Callable[[Name, Moment], Floats]  # (n, columns), or (1, columns) where all candidates share them

STRENGTH = 10.0  # a rate is pulled towards the usual one as if tried so many times more


@dataclass(frozen=True)
class Context:
    """Features of n candidates of G askers: columns that all of an asker share (G, Fs), and those of each (n, Fo)."""

    shared: NDArray[np.float32]
    own: NDArray[np.float32]


class FeatureSet:
    """The features that a bundle declares, in order. ValueError names one that is none."""

    def __init__(self, declared: Features, clock: Clock) -> None:
        self.declared = declared
        self.names = tuple(map(names.parse, declared.use))
        self.layout = layout(names.counted(self.names), declared.windows, names.of("latest", self.names))
        self.attributes = names.of("share", self.names)
        self.numbers = names.of("number", self.names)
        self.words = {column: declared.words.get(column, ()) for column in names.of("context", self.names)}
        self.habits = names.of("habit", self.names)
        self.kinds = {name: declared.values.get(name, ()) for name in names.of("is", self.names)}
        self.shown = any(name.kind == "shown" for name in self.names)
        self.again = any(name.kind == "again" for name in self.names)
        self._clock = clock
        self._makers: dict[str, Maker] = {kind: getattr(self, f"_{kind}") for kind in names.KINDS}
        for name in self.names:
            self._windows(name)

    @cached_property
    def width(self) -> int:
        """Columns of the matrix."""
        return len(self.columns)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The feature that each column of the matrix belongs to."""
        return tuple(name.written for name in self.names for _ in range(self._width(name)))

    @cached_property
    def own(self) -> Ints:
        """The columns of the matrix that differ by candidate."""
        return np.flatnonzero(~self._common)

    @cached_property
    def shared(self) -> Ints:
        """The columns of the matrix that all candidates of a list share."""
        return np.flatnonzero(self._common)

    @cached_property
    def _common(self) -> NDArray[np.bool_]:
        kinds = [name.kind for name in self.names for _ in range(self._width(name))]
        return np.isin(np.array(kinds, dtype=str), names.SHARED)

    def context(self, moment: Moment, firsts: Ints) -> Context:
        """Features of the candidates of G askers; firsts (G,): where those of each begin."""
        table = self.matrix(moment)
        return Context(table[np.ix_(firsts, self.shared)], table[:, self.own])

    def rows(self, shared: NDArray[np.float32], own: NDArray[np.float32]) -> NDArray[np.float32]:
        """The matrix (n, width) of its columns (n, Fs) and (n, Fo)."""
        table = np.empty((len(own), self.width), dtype=np.float32)
        table[:, self.shared], table[:, self.own] = shared, own
        return table

    def matrix(self, moment: Moment) -> NDArray[np.float32]:
        """Features of the n candidates, shape (n, width)."""
        found: dict[str, Floats] = {}
        for name in self.names:
            if name.plain not in found:
                found[name.plain] = self._makers[name.kind](name, moment)
        forms = _compared({name.plain: found[name.plain] for name in self.names if name.listed}, moment)
        table = np.empty((moment.rows, self.width), dtype=np.float32)
        end = 0
        for name in self.names:
            values = found[name.plain]
            told = forms[name.plain] if name.listed else values
            begin, end = end, end + told.shape[1]
            if name.optional:
                missing = np.isnan(values)
                table[:, begin:end] = told if name.listed else np.where(missing, 0.0, values)
                table[:, end] = missing[:, -1]
                end += 1
            else:
                table[:, begin:end] = told
        return table

    def _width(self, name: Name) -> int:
        wide = {"count": len(self._windows(name)), "rate": len(self._windows(name))}
        if name.kind == "context":
            return len(self.words[name.argument]) + 1
        if name.kind == "is":
            return len(self.kinds[name.argument]) + 1
        values = wide.get(name.kind) or names.KINDS[name.kind]
        return values * (len(FORMS) if name.listed else 1) + name.optional

    def _hour(self, _: Name, moment: Moment) -> Floats:
        angle = self._clock.hours(moment.now) * (2.0 * np.pi / 24.0)
        return np.stack([np.sin(angle), np.cos(angle), np.sin(2 * angle), np.cos(2 * angle)], axis=1)

    def _weekday(self, _: Name, moment: Moment) -> Floats:
        angle = np.floor(self._clock.weekdays(moment.now)) * (2.0 * np.pi / 7.0)
        return np.stack([np.sin(angle), np.cos(angle)], axis=1)

    def _item_age(self, _: Name, moment: Moment) -> Floats:
        seen = moment.statistics.first if moment.statistics else np.full(1, np.nan)
        return _log_hours(moment.now - np.where(np.isnan(moment.published), seen, moment.published))[:, None]

    def _since_last(self, _: Name, moment: Moment) -> Floats:
        return _log_hours(moment.now - moment.last_event)[:, None]

    def _history_size(self, _: Name, moment: Moment) -> Floats:
        return np.asarray(np.log1p(moment.sizes) / 4.0)[:, None]

    def _candidates(self, _: Name, moment: Moment) -> Floats:
        sizes = np.diff(moment.starts, append=moment.rows)
        told = np.log1p(np.minimum(sizes, self.declared.candidates)) / 4.0
        return np.asarray(np.repeat(told, sizes))[:, None]

    def _again(self, name: Name, moment: Moment) -> Floats:
        return _meetings(name, moment.again, moment.now)

    def _shown(self, name: Name, moment: Moment) -> Floats:
        return _meetings(name, moment.shown, moment.now)

    def _share(self, name: Name, moment: Moment) -> Floats:
        return _look(moment.shares, name, "the moment's shares")[:, None]

    def _habit(self, name: Name, moment: Moment) -> Floats:
        return _look(moment.habits, name, "the moment's habits")[:, None]

    def _is(self, name: Name, moment: Moment) -> Floats:
        places = _look(moment.kinds, name, "the moment's kinds")
        table = np.zeros((len(places), len(self.kinds[name.argument]) + 2))
        np.put_along_axis(table, places + 2, 1.0, axis=1)  # the first column is that of padding
        table[:, 1] = table[:, 2:].sum(axis=1) == 0.0
        return table[:, 1:]

    def _number(self, name: Name, moment: Moment) -> Floats:
        return self._scaled(name, _look(moment.numbers, name, "the moment's numbers"))[:, None]

    def _latest(self, name: Name, moment: Moment) -> Floats:
        column = self.layout.latest.index(name.argument)
        return self._scaled(name, _told(name, moment).latest[:, column])[:, None]

    def _context(self, name: Name, moment: Moment) -> Floats:
        places = np.arange(-1, len(self.words[name.argument]))  # -1: another word, or none
        words = _look(moment.words, name, "the moment's words")
        return np.asarray(words[:, None] == places, dtype=np.float64)

    def _since(self, name: Name, moment: Moment) -> Floats:
        last = _told(name, moment).last[:, self._places(name.events)]
        return _log_hours(moment.now - np.fmax.reduce(last, axis=1))[:, None]

    def _count(self, name: Name, moment: Moment) -> Floats:
        return np.asarray(np.log1p(self._counts(name, name.events, moment)))

    def _rate(self, name: Name, moment: Moment) -> Floats:
        usual = _look(self.declared.rates, name, "the declaration's rates")
        counts, tried = (self._counts(name, events, moment) for events in (name.events, name.tried))
        # divided at once: where nothing was tried both are the same product, and the logarithm is 0
        return np.asarray(np.log((counts + STRENGTH * usual) / ((tried + STRENGTH) * usual)))

    def _counts(self, name: Name, events: Sequence[str], moment: Moment) -> Floats:
        """Events of any of the kinds, (n, windows of the name)."""
        counts = _told(name, moment).counts
        places = self._windows(name)
        return np.asarray(sum(counts[:, event, places] for event in self._places(events)))

    def _places(self, events: Sequence[str]) -> list[int]:
        return [self.layout.events.index(event) for event in events]

    def _windows(self, name: Name) -> list[int]:
        places = [n for n, window in enumerate(self.layout.windows) if name.window in ("", window.name)]
        if name.window and not places:
            raise ValueError(
                f"{name.written}: {name.window} is not among the windows; add it to features.windows"
            )
        return places

    def _scaled(self, name: Name, values: Floats) -> Floats:
        key = f"{name.kind}:{name.argument}"
        if key not in self.declared.scales:
            raise ValueError(f"{name.written}: the declaration's scales lack {key!r}")
        scale = self.declared.scales[key]
        told = np.log1p(np.maximum(values, 0.0)) if scale.log else values
        return np.asarray(np.clip((told - scale.mean) / scale.std, -5.0, 5.0))


def _compared(found: Mapping[str, Floats], moment: Moment) -> dict[str, Floats]:
    """The columns of each feature (n, C) compared within the lists, (n, 3 C); all features ranked at once."""
    if not found:
        return {}
    ends = np.cumsum([values.shape[1] for values in found.values()])
    flat = np.empty((ends[-1], moment.rows))
    for values, end in zip(found.values(), ends, strict=True):
        flat[end - values.shape[1] : end] = values.T
    parts = np.split(relative(flat.T, moment.starts), ends[:-1], axis=1)
    return {plain: part.reshape(moment.rows, -1) for plain, part in zip(found, parts, strict=True)}


def _meetings(name: Name, found: Met | None, now: Times) -> Floats:
    if found is None:
        raise ValueError(f"{name.written}: the moment does not say how often they met")
    return np.stack([np.log1p(found.counts), _log_hours(now - found.last)], axis=1)


def _look(known: Mapping[str, Value], name: Name, where: str) -> Value:
    if name.argument not in known:
        raise ValueError(f"{name.written}: {where} lack {name.argument!r}")
    return known[name.argument]


def _told(name: Name, moment: Moment) -> Statistics:
    if moment.statistics is None:
        raise ValueError(f"{name.written}: the moment has no statistics")
    return moment.statistics


def _log_hours(seconds: Times) -> Floats:
    return np.asarray(np.log1p(np.maximum(seconds, 0.0) / 3_600.0) / 4.0, dtype=np.float64)
