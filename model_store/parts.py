"""What is constant for an item and read by every run of the heads, a row an item."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]
Outputs = NDArray[np.float32]
Askers = Mapping[str, NDArray[Any]]  # what is read of those who ask, a row each: see scorer.Heads


@dataclass(frozen=True)
class Parts:
    """N items: vectors (N, d), and what scorer.items.onnx makes of them.

    experts (N, E · hidden), rest (N, R): the item's part of the heads' first layer; silent (N, Wq): answers of the
    tasks that see query and item, where there is no query.
    """

    vectors: Vectors
    experts: Vectors
    rest: Vectors
    silent: Vectors

    def __len__(self) -> int:
        return len(self.vectors)

    def __iter__(self) -> Iterator[Vectors]:
        yield from (self.vectors, self.experts, self.rest, self.silent)

    def at(self, rows: Rows) -> "Parts":
        """Some of them, copied."""
        return Parts(*(np.take(part, rows, axis=0) for part in self))


class Layers(Protocol):
    """N rows in several tables, one behind another, gathered by their places."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def take(
        self,
        places: Rows,
        /,
        axis: Literal[0] = 0,
        out: Vectors | None = None,
        mode: Literal["clip"] = "clip",
    ) -> Any: ...

    def within(self, places: Rows, /) -> "tuple[Table, Rows] | None":
        """The one table that holds all of these rows, and their places in it; None if there is no such one."""


Table = Vectors | Layers
Tables = Iterable[Table]  # those of Parts, in their order
Parted = Callable[[Vectors], Parts]  # makes the parts of vectors (n, d)


def flat(tables: Tables, places: Rows) -> tuple[list[Vectors], Rows] | None:
    """Plain arrays that hold rows (n,) of tables in layers, and the rows' places there; None if several do, or
    the tables are not layered alike."""
    plain: list[Vectors] = []
    where: Rows | None = None
    for each in tables:
        table, at = each, places
        while not isinstance(table, np.ndarray):
            found = table.within(at)
            if found is None:
                return None
            table, at = found
        if where is not None and at is not where and (at != where).any():
            return None
        plain.append(table)
        where = at
    return plain, places if where is None else where
