"""n candidates side by side: what is known of each is gathered when something reads it, and only that."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.layers import Layered, LayeredIds, Named, Table
from model_store.clock import Times
from model_store.parts import Rows, Vectors
from model_store.words import Shingles

Codes = NDArray[np.int32]


@dataclass(frozen=True)
class Columns:
    """What is known of N items, a row each.

    parts: what the heads read, vectors (N, d) first; published (N,), codes (N, K) by attribute, numbers (N,) by
    column, NaN where missing, outputs (N, W) of the tasks that read a text alone; shingles (N, K), K 0 where no
    feature reads words.
    """

    ids: Named
    parts: Sequence[Table]
    published: Table
    codes: Mapping[str, Table]
    numbers: Mapping[str, Table]
    outputs: Table
    shingles: Table

    def above(self, more: "Callable[[], Columns]", first: int) -> "Columns":
        """The first `first` rows of these, and behind them those that `more` returns at the time, plain arrays."""

        def layered(base: Table, field: str, key: Any = None, blank: float = 0) -> Layered:
            read = attrgetter(field)
            if key is None:
                return Layered(base, lambda: read(more()), first, blank=blank)
            return Layered(base, lambda: read(more())[key], first, blank=blank)

        return Columns(
            ids=LayeredIds(self.ids, more().ids, first),
            parts=tuple(layered(part, "parts", place) for place, part in enumerate(self.parts)),
            published=layered(self.published, "published"),
            codes={name: layered(codes, "codes", name, blank=-1) for name, codes in self.codes.items()},
            numbers={name: layered(each, "numbers", name) for name, each in self.numbers.items()},
            outputs=layered(self.outputs, "outputs"),
            shingles=layered(self.shingles, "shingles"),
        )


@dataclass(frozen=True)
class Slate:
    """n candidates: their rows in the catalogue (n,), -1 for an id that is not in it, and their places in columns.

    `places` (n,) are those rows themselves, but for items that the request describes. An item that brings its own
    text keeps the row of its id: it is still the item that was counted. `given`: the ids, if they are at hand.
    """

    rows: Rows
    columns: Columns
    places: Rows
    given: Sequence[str] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def ids(self) -> Sequence[str]:
        """Of all, in order."""
        return self.named(range(len(self))) if self.given is None else self.given

    def named(self, picks: Sequence[int]) -> list[str]:
        """The ids of some, by their number in the slate."""
        if self.given is not None:
            return [self.given[pick] for pick in picks]
        ids, places = self.columns.ids, self.places[picks].tolist()
        return [ids[place] for place in places]

    def part(self, which: slice) -> "Slate":
        """Some that stand side by side."""
        given = None if self.given is None else self.given[which]
        return Slate(self.rows[which], self.columns, self.places[which], given)

    @property
    def published(self) -> Times:
        """(n,), unix seconds, NaN where unknown."""
        return self.columns.published.take(self.places)

    def codes(self, attribute: str) -> Codes:
        """(n, K), padded with -1."""
        return self.columns.codes[attribute].take(self.places, axis=0)

    def numbers(self, column: str) -> NDArray[np.float64]:
        """(n,), NaN where missing."""
        return self.columns.numbers[column].take(self.places)

    def shingles(self, part: slice) -> Shingles:
        """Those of some candidates, (m, K)."""
        return self.columns.shingles.take(self.places[part], axis=0)

    def output(self, column: int) -> Vectors:
        """One column of the outputs, (n,)."""
        return self.columns.outputs.take(self.places, axis=0)[:, column]

    def outputs(self, picks: Rows) -> Vectors:
        """Of some, (k, W)."""
        return self.columns.outputs.take(self.places[picks], axis=0)


def joined(slates: Sequence[Slate]) -> Slate:
    """One after another; their columns must be the same."""
    if len(slates) == 1:
        return slates[0]
    given = None
    if all(slate.given is not None for slate in slates):
        given = list(chain.from_iterable(slate.given or () for slate in slates))
    rows, places = (
        np.concatenate(parts) for parts in zip(*((s.rows, s.places) for s in slates), strict=True)
    )
    return Slate(rows, slates[0].columns, places, given)
