"""The names of features, taken apart: `list:rate:click+buy/view:1h` is the rate of two events over a third, in the
last hour, compared within the list of candidates. features.py says what each one is.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from model_store.words import ASKED, MATCHES

KINDS = {
    "hour": 4, "weekday": 2, "item_age": 1, "since_last": 1, "history_size": 1, "candidates": 1, "again": 2,
    "shown": 2, "share": 1, "count": 0, "rate": 0, "since": 1, "number": 1, "latest": 1, "context": 0,
    "is": 0, "habit": 1, "appeal": 1, "mood": 1, "taste": 1, "match": 1, "query": 1,
}  # fmt: skip
ARGUED = (
    "share",
    "is",
    "habit",
    "count",
    "rate",
    "since",
    "number",
    "latest",
    "context",
    "appeal",
    "mood",
    "taste",
    "match",
    "query",
)
OPTIONAL = ("item_age", "since_last", "again", "shown", "share", "habit", "since", "number", "latest")
COMPARED = (
    "item_age",
    "again",
    "shown",
    "share",
    "count",
    "rate",
    "since",
    "number",
    "latest",
    "appeal",
    "taste",
    "match",
)
SHARED = (
    "hour",
    "weekday",
    "since_last",
    "history_size",
    "candidates",
    "habit",
    "context",
    "mood",
    "query",
)  # by all of a list
PLAIN = tuple(kind for kind in KINDS if kind not in ARGUED)
LIST = "list"
MEASURES = {"match": MATCHES, "query": ASKED}
SHAPES = (
    "share:<attribute>, is:<attribute>, habit:<event>, count:<event>, rate:<event>/<event>, since:<event>, "
    "number:<column>, latest:<column>, context:<column>, appeal:<window>, mood:<events>, taste:<attribute>, "
    "match:<measure>, query:<measure>, list:<feature>"
)


@dataclass(frozen=True)
class Name:
    """One name: `written` as in the configuration; `window` empty for all of them."""

    written: str
    kind: str
    argument: str = ""
    window: str = ""
    listed: bool = False

    @cached_property
    def plain(self) -> str:
        """What is compared, if it is: the same name without `list:`."""
        return self.written.removeprefix(f"{LIST}:")

    @property
    def optional(self) -> bool:
        """Whether a value can be missing, which one more column says."""
        return self.kind in OPTIONAL

    @property
    def events(self) -> tuple[str, ...]:
        """The events that are counted; those above the line of a rate."""
        counted = self.argument.partition("/")[0] if self.kind == "rate" else self.argument
        return tuple(counted.split("+")) if self.kind in ("count", "rate", "since") else ()

    @property
    def tried(self) -> tuple[str, ...]:
        """The events below the line of a rate."""
        return tuple(self.argument.partition("/")[2].split("+")) if self.kind == "rate" else ()


def parse(written: str) -> Name:
    """A name taken apart; ValueError says what is wrong with it."""
    listed = written.startswith(f"{LIST}:")
    kind, _, argument = written.removeprefix(f"{LIST}:").partition(":")
    if kind not in KINDS:
        raise ValueError(f"unknown {written!r}; there are {', '.join(PLAIN)}, {SHAPES}")
    if (kind in ARGUED) != bool(argument):
        fix = f"write {kind}:<...>" if kind in ARGUED else f"write {kind} alone"
        raise ValueError(f"{written!r}: {fix}; there are {SHAPES}")
    if listed and kind not in COMPARED:
        raise ValueError(
            f"{written!r}: there is nothing to compare in a list; use one of {', '.join(COMPARED)}"
        )
    window = ""
    if kind in ("count", "rate"):
        argument, _, window = argument.partition(":")
    if kind == "mood" and not (argument.isdecimal() and int(argument) > 0):
        raise ValueError(f"{written!r}: {argument!r} is no number of events; write mood:1 or mood:50")
    if argument not in MEASURES.get(kind, (argument,)):
        raise ValueError(f"{written!r}: there are {', '.join(f'{kind}:{each}' for each in MEASURES[kind])}")
    name = Name(written, kind, argument, window, listed)
    _check_events(name)
    return name


def _check_events(name: Name) -> None:
    written = "write count:click, count:click:1h, rate:click/view or since:click+buy"
    for event in name.events + name.tried:
        if not event or set(event) & set(":/"):
            raise ValueError(f"{name.written!r}: {event!r} is no event; {written}")
    for events in (name.events, name.tried):
        if len(set(events)) < len(events):
            raise ValueError(f"{name.written!r}: counts an event twice; {written}")


def counted(names: Iterable[Name]) -> tuple[str, ...]:
    """All events that are counted, sorted."""
    return tuple(sorted({event for name in names for event in name.events + name.tried}))


def of(kind: str, names: Iterable[Name]) -> tuple[str, ...]:
    """The arguments of all features of a kind, each once."""
    return tuple(dict.fromkeys(name.argument for name in names if name.kind == kind))
