"""What is constant for an item and read by every run of the heads, a row an item."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]


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


class Table(Protocol):
    """N rows that are gathered by their places, as numpy's arrays are."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def take(self, places: Rows, /, axis: Literal[0], out: Vectors, mode: Literal["clip"]) -> Any: ...


Tables = Iterable[Table]  # those of Parts, in their order
Parted = Callable[[Vectors], Parts]  # makes the parts of vectors (n, d)
