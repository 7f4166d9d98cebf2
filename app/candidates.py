"""What a request asks to be ranked: items by id, and cold ones that it describes."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import TypeGuard

from model_store.parts import Rows

Filters = Mapping[str, tuple[str, ...]]  # allowed values by attribute


@dataclass(frozen=True, slots=True)
class Described:
    """An item that the request describes: its text, and what filters and features read."""

    item_id: str
    text: str
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    published: float = float("nan")
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Candidates:
    """Ids, each once, in the order given; those of `described` bring their own text."""

    ids: tuple[str, ...]
    described: Mapping[str, Described] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Iterable[str | Described]) -> "Candidates":
        """An item that is given twice is what it was given as first."""
        listed = tuple(given)
        if plain(listed):
            return cls(tuple(dict.fromkeys(listed)))
        first: dict[str, str | Described] = {}
        for each in listed:
            first.setdefault(each if isinstance(each, str) else each.item_id, each)
        return cls(tuple(first), {name: each for name, each in first.items() if isinstance(each, Described)})

    def kept(self, which: Iterable[bool]) -> "Candidates":
        """Some of them, (n,) true or false."""
        ids = tuple(compress(self.ids, which))
        return Candidates(ids, {item: self.described[item] for item in ids if item in self.described})

    def known(self, rows: Rows) -> Sequence[str]:
        """The ids of those that can be scored: at a row of the catalogue (n,), or described."""
        if (rows >= 0).all():
            return self.ids
        return [
            item
            for item, row in zip(self.ids, rows.tolist(), strict=True)
            if row >= 0 or item in self.described
        ]

    @property
    def texts(self) -> list[str]:
        """The texts that the described ones bring."""
        return [each.text for each in self.described.values()]


def plain(given: Collection[object]) -> TypeGuard[Collection[str]]:
    """Whether all are ids: what most requests send, so it is looked at as a whole."""
    return set(map(type, given)) <= {str}
