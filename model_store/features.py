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

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from model_store import names
from model_store.clock import Clock, Times
from model_store.counters import Statistics, layout
from model_store.listwise import FORMS, relative
from model_store.manifest import Features
from model_store.moment import Floats, Met, Moment
from model_store.names import Name

Maker = Callable[[Name, Moment], list[Floats]]

STRENGTH = 10.0  # a rate is pulled towards the usual one as if tried so many times more


class FeatureSet:
    """The features that a bundle declares, in order. ValueError names one that is none."""

    def __init__(self, declared: Features, clock: Clock) -> None:
        self.declared = declared
        self.names = tuple(map(names.parse, declared.use))
        self.layout = layout(names.counted(self.names), declared.windows, names.of("latest", self.names))
        self.attributes = names.of("share", self.names)
        self.numbers = names.of("number", self.names)
        self.words = {column: declared.words.get(column, ()) for column in names.of("context", self.names)}
        self.shown = any(name.kind == "shown" for name in self.names)
        self.again = any(name.kind == "again" for name in self.names)
        self._clock = clock
        self._makers: dict[str, Maker] = {kind: getattr(self, f"_{kind}") for kind in names.KINDS}
        for name in self.names:
            self._windows(name)

    @property
    def width(self) -> int:
        """Columns of the matrix."""
        return len(self.columns)

    @property
    def columns(self) -> tuple[str, ...]:
        """The feature that each column of the matrix belongs to."""
        return tuple(name.written for name in self.names for _ in range(self._width(name)))

    def matrix(self, moment: Moment) -> NDArray[np.float32]:
        """Features of the n candidates, shape (n, width)."""
        values = [self._makers[name.kind](name, moment) for name in self.names]
        forms = _compared(self.names, values, moment)
        columns: list[Floats] = []
        for name, found in zip(self.names, values, strict=True):
            told = forms.pop(0) if name.listed else found
            columns += [np.nan_to_num(value, nan=0.0) for value in told]
            if name.optional:
                columns.append(np.isnan(found[-1]).astype(np.float64))
        return np.stack([np.broadcast_to(each, moment.rows) for each in columns], axis=1).astype(np.float32)

    def _width(self, name: Name) -> int:
        wide = {"count": len(self._windows(name)), "rate": len(self._windows(name))}
        if name.kind == "context":
            return len(self.words[name.argument]) + 1
        values = wide.get(name.kind) or names.KINDS[name.kind]
        return values * (len(FORMS) if name.listed else 1) + name.optional

    def _hour(self, _: Name, moment: Moment) -> list[Floats]:
        angle = self._clock.hours(moment.now) * (2.0 * np.pi / 24.0)
        return [np.sin(angle), np.cos(angle), np.sin(2 * angle), np.cos(2 * angle)]

    def _weekday(self, _: Name, moment: Moment) -> list[Floats]:
        angle = np.floor(self._clock.weekdays(moment.now)) * (2.0 * np.pi / 7.0)
        return [np.sin(angle), np.cos(angle)]

    def _item_age(self, _: Name, moment: Moment) -> list[Floats]:
        seen = moment.statistics.first if moment.statistics else np.full(1, np.nan)
        return [_log_hours(moment.now - np.where(np.isnan(moment.published), seen, moment.published))]

    def _since_last(self, _: Name, moment: Moment) -> list[Floats]:
        return [_log_hours(moment.now - moment.last_event)]

    def _history_size(self, _: Name, moment: Moment) -> list[Floats]:
        return [np.log1p(moment.sizes) / 4.0]

    def _candidates(self, _: Name, moment: Moment) -> list[Floats]:
        sizes = np.diff(np.append(moment.starts, moment.rows))
        return [np.log1p(np.minimum(np.repeat(sizes, sizes), self.declared.candidates)) / 4.0]

    def _again(self, name: Name, moment: Moment) -> list[Floats]:
        return _meetings(name, moment.again, moment.now)

    def _shown(self, name: Name, moment: Moment) -> list[Floats]:
        return _meetings(name, moment.shown, moment.now)

    def _share(self, name: Name, moment: Moment) -> list[Floats]:
        return [moment.shares[name.argument]]

    def _number(self, name: Name, moment: Moment) -> list[Floats]:
        return [self._scaled(name, moment.numbers[name.argument])]

    def _latest(self, name: Name, moment: Moment) -> list[Floats]:
        column = self.layout.latest.index(name.argument)
        return [self._scaled(name, _told(name, moment).latest[:, column])]

    def _context(self, name: Name, moment: Moment) -> list[Floats]:
        places = range(-1, len(self.words[name.argument]))  # -1: another word, or none
        return [(moment.words[name.argument] == place).astype(np.float64) for place in places]

    def _since(self, name: Name, moment: Moment) -> list[Floats]:
        last = _told(name, moment).last[:, self._places(name.events)]
        return [_log_hours(moment.now - np.fmax.reduce(last, axis=1))]

    def _count(self, name: Name, moment: Moment) -> list[Floats]:
        counts = self._counts(name, name.events, moment)
        return [np.log1p(counts[:, place]) for place in self._windows(name)]

    def _rate(self, name: Name, moment: Moment) -> list[Floats]:
        usual = self.declared.rates[name.argument]
        counts, tried = (self._counts(name, events, moment) for events in (name.events, name.tried))
        smooth = (counts + STRENGTH * usual) / (tried + STRENGTH)
        return [np.log(smooth[:, place] / usual) for place in self._windows(name)]

    def _counts(self, name: Name, events: Sequence[str], moment: Moment) -> Floats:
        """Events of any of the kinds, (n, W)."""
        places = [self.layout.events.index(event) for event in events]
        return np.asarray(_told(name, moment).counts[:, places].sum(axis=1))

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
        scale = self.declared.scales[f"{name.kind}:{name.argument}"]
        told = np.log1p(np.maximum(values, 0.0)) if scale.log else values
        return np.asarray(np.clip((told - scale.mean) / scale.std, -5.0, 5.0))


def _compared(listed: Sequence[Name], values: Sequence[list[Floats]], moment: Moment) -> list[list[Floats]]:
    """The columns of each feature of lists, all features ranked at once."""
    chosen = [found for name, found in zip(listed, values, strict=True) if name.listed]
    if not chosen:
        return []
    flat = np.stack([np.broadcast_to(value, moment.rows) for found in chosen for value in found], axis=1)
    forms = relative(flat, moment.starts)
    ends = np.cumsum([len(found) for found in chosen])
    return [
        [forms[:, form, column] for column in range(end - len(found), end) for form in range(len(FORMS))]
        for found, end in zip(chosen, ends, strict=True)
    ]


def _meetings(name: Name, found: Met | None, now: Times) -> list[Floats]:
    if found is None:
        raise ValueError(f"{name.written}: the moment does not say how often they met")
    return [np.log1p(found.counts), _log_hours(now - found.last)]


def _told(name: Name, moment: Moment) -> Statistics:
    if moment.statistics is None:
        raise ValueError(f"{name.written}: the moment has no statistics")
    return moment.statistics


def _log_hours(seconds: Times) -> Floats:
    return np.asarray(np.log1p(np.maximum(seconds, 0.0) / 3_600.0) / 4.0, dtype=np.float64)
