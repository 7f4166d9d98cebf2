"""Tables in two layers: rows that nothing changes and, behind them, those of a table that grows meanwhile.

A request gathers what it reads of both. To put them into one table first would copy every column of all of its
candidates for the sake of one that was put a moment ago.
"""

from collections.abc import Callable
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from model_store.parts import Rows


class Layered:
    """Rows 0 ... first - 1 of `base`, and from `first` on those of whatever table `more` returns.

    blank: what pads rows of the narrower one, where the two differ in width.
    """

    def __init__(
        self, base: "Table", more: Callable[[], NDArray[Any]], first: int, *, blank: float = 0
    ) -> None:
        self._base = base
        self._more = more
        self._first = first
        self._blank = blank

    @property
    def shape(self) -> tuple[int, ...]:
        """Of both together."""
        shape, more = self._base.shape, self._more().shape
        return (self._first + more[0], *map(max, shape[1:], more[1:]))

    def take(
        self,
        places: Rows,
        /,
        axis: Literal[0] = 0,  # noqa: ARG002 - numpy's arguments, as far as they are used
        out: NDArray[Any] | None = None,
        mode: Literal["clip"] = "clip",  # noqa: ARG002
    ) -> NDArray[Any]:
        """Rows (n, ...), as numpy's; at least as wide as those of `base`."""
        found = self._base.take(places, axis=0, out=out, mode="clip")  # those behind it are its last row
        late = np.flatnonzero(places >= self._first)
        if not len(late):
            return found
        rows = self._more().take(places[late] - self._first, axis=0, mode="clip")
        if rows.ndim > 1 and rows.shape[1] > found.shape[1]:
            found = self._padded(found, rows.shape[1])
        elif rows.ndim > 1 and rows.shape[1] < found.shape[1]:
            rows = self._padded(rows, found.shape[1])
        found[late] = rows
        return found

    def within(self, places: Rows, /) -> "tuple[Table, Rows] | None":
        """The layer that holds all of these rows, and their places in it; None if both hold some."""
        if places.max(initial=-1) < self._first:
            return self._base, places
        if places.min() >= self._first:
            return self._more(), places - self._first
        return None

    def _padded(self, rows: NDArray[Any], width: int) -> NDArray[Any]:
        return np.pad(rows, ((0, 0), (0, width - rows.shape[1])), constant_values=self._blank)


Table = NDArray[Any] | Layered


class Named(Protocol):
    """Ids by their place."""

    def __getitem__(self, place: int, /) -> str: ...


class LayeredIds:
    """Those of `base`, and from `first` on those of `more`."""

    def __init__(self, base: Named, more: Named, first: int) -> None:
        self._base = base
        self._more = more
        self._first = first

    def __getitem__(self, place: int, /) -> str:
        return self._base[place] if place < self._first else self._more[place - self._first]
