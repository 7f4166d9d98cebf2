"""Which rows of a table (N, d) have the greatest dot product with a vector.

Exact   every product. For up to 100,000 rows
Cells   the table lies in the order of cells, vectors that are near each other side by side; a search reads the cells
        whose centres are nearest to its vector, where they lie. The index itself holds no item

items.cells.npy     (C + 1,) int64, the row at which each cell begins, and N
items.centres.npy   (C, d) float32, of unit length

A search for the best k of P rows reads about reach · √(k·P) of them, in whole cells: measured, that finds the same
share of the best whether k is 100 or 500 and whether a filter keeps all rows or a tenth. Of few rows it reads all.
"""

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from model_store.items import mapped
from model_store.parts import Rows, Vectors

EXACT = 100_000  # rows up to which every product is computed
CELLS, CENTRES = "items.cells.npy", "items.centres.npy"
SPARSE = 4  # rows are gathered if they are at most one in so many; else it is quicker to read all

Gone = NDArray[np.bool_]
Found = tuple[Rows, Vectors]


class Index(Protocol):
    """The best `limit` rows and their products, in no order; fewer if there are no more.

    Rows that `gone` (N,) marks are not among them.
    """

    def nearest(self, vector: Vectors, limit: int, gone: Gone | None = None) -> Found:
        """Of all rows."""
        ...

    def among(self, rows: Rows, vector: Vectors, limit: int, gone: Gone | None = None) -> Found:
        """Of these rows alone, which ascend."""
        ...


class Exact:
    """Every product of the table."""

    def __init__(self, vectors: Vectors) -> None:
        self._vectors = vectors

    def nearest(self, vector: Vectors, limit: int, gone: Gone | None = None) -> Found:
        """Of all rows."""
        products = self._vectors @ vector
        if gone is None:
            picks = top(products, limit)
            return picks, products[picks]
        rows = np.flatnonzero(~gone)
        return best(rows, products[rows], limit)

    def among(self, rows: Rows, vector: Vectors, limit: int, gone: Gone | None = None) -> Found:
        """Of these rows alone."""
        rows = rows if gone is None else rows[~gone[rows]]
        if len(rows) * SPARSE <= len(self._vectors):
            products = np.take(self._vectors, rows, axis=0) @ vector
        else:
            products = (self._vectors @ vector)[rows]
        return best(rows, products, limit)


class Cells:
    """The products of the nearest cells; `starts` (C + 1,), `centres` (C, d)."""

    def __init__(self, vectors: Vectors, starts: Rows, centres: Vectors, reach: float) -> None:
        self._vectors = vectors
        self._starts = np.asarray(starts)
        self._sizes = np.diff(self._starts)
        self._centres = centres
        self.reach = reach

    def nearest(self, vector: Vectors, limit: int, gone: Gone | None = None) -> Found:
        """Of all rows."""
        cells = self._chosen(vector, self._sizes, limit)
        spans = list(zip(self._starts[cells].tolist(), self._starts[cells + 1].tolist(), strict=True))
        products = np.concatenate([self._vectors[start:stop] @ vector for start, stop in spans])
        rows = np.concatenate([np.arange(start, stop) for start, stop in spans])
        if gone is not None:
            here = ~gone[rows]
            rows, products = rows[here], products[here]
        return best(rows, products, limit)

    def among(self, rows: Rows, vector: Vectors, limit: int, gone: Gone | None = None) -> Found:
        """Of these rows alone."""
        edges = np.searchsorted(rows, self._starts)
        cells = self._chosen(vector, np.diff(edges), limit)
        spans = zip(edges[cells].tolist(), edges[cells + 1].tolist(), strict=True)
        near = np.concatenate([rows[start:stop] for start, stop in spans])
        near = near if gone is None else near[~gone[near]]
        return best(near, np.take(self._vectors, near, axis=0) @ vector, limit)

    def _chosen(self, vector: Vectors, sizes: Rows, limit: int) -> Rows:
        """Cells to read, in their order: the nearest that hold enough; sizes: rows of interest in each, (C,)."""
        enough = self.reach * float(np.sqrt(limit * sizes.sum()))
        order = np.argsort(self._centres @ -vector)
        held = np.cumsum(sizes[order])
        return np.sort(order[: np.searchsorted(held, enough) + 1])


def best(rows: Rows, products: Vectors, limit: int) -> Found:
    """The `limit` rows with the greatest products (n,)."""
    picks = top(products, limit)
    return rows[picks], products[picks]


def top(products: Vectors, limit: int) -> Rows:
    """Places of the greatest, in no order; all if there are no more."""
    if len(products) <= limit:
        return np.arange(len(products))
    return np.argpartition(products, len(products) - limit)[-limit:]


def write(folder: Path, starts: Rows, centres: Vectors) -> None:
    """Write the files of an index into the folder of a bundle in the making."""
    np.save(folder / CELLS, starts.astype(np.int64))
    np.save(folder / CENTRES, centres.astype(np.float32))


def read(folder: Path, vectors: Vectors, reach: float) -> Cells:
    """Open the index of a bundle over the vectors of its items. Raises ValueError if it is of another table."""
    starts, centres = mapped(folder / CELLS), mapped(folder / CENTRES)
    shapes = (len(centres) + 1,), (len(starts) - 1, vectors.shape[1])
    if (starts.shape, centres.shape) != shapes or starts[0] or starts[-1] != len(vectors):
        raise ValueError(f"cells {starts.shape} of {centres.shape} are none of vectors {vectors.shape}")
    if (np.diff(starts) < 0).any():
        raise ValueError("the cells are not in the order of their rows")
    return Cells(vectors, starts, centres, reach)
