"""The index of a large catalogue: its vectors in cells, and how far a search has to reach.

Cells are the groups of k-means on the sphere. The reach is measured: the least with which searches that users would
make find 99 of their best 100, without a filter and with one that keeps a tenth.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.cluster import KMeans

from model_store import index as files
from model_store import items as catalogue
from model_store.index import EXACT, Cells, Exact, Index
from model_store.items import Items
from model_store.manifest import Index as Told
from model_store.parts import Rows, Vectors

PER_CELL = 32  # vectors that each centre is learned from
ROUNDS = 10
CHUNK = 16_384
BEST, RECALL = 100, 0.99
REACHES = (2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0)
SEARCHES = 200


@dataclass(frozen=True)
class Grouped:
    """N items in C cells: the order in which they lie, where each cell begins (C + 1,), its centre (C, d)."""

    order: Rows
    starts: Rows
    centres: Vectors


def write(
    items: Items, folder: Path, *, texts: Sequence[str], searches: Vectors, above: int = EXACT
) -> Told | None:
    """Write the catalogue, and its index if it has more items than `above`; what the manifest says of that.

    searches (S, d): vectors that the users of today would look for.
    """
    if len(items) <= above:
        catalogue.write(items, folder, texts=texts)
        return None
    grouped = group(items.vectors)
    lying = items.taken(grouped.order)
    catalogue.write(lying, folder, texts=[texts[row] for row in grouped.order.tolist()])
    files.write(folder, grouped.starts, grouped.centres)
    return measured(lying.vectors, grouped, searches)


def group(vectors: Vectors, seed: int = 0) -> Grouped:
    """4 √N cells of the vectors (N, d)."""
    generator = np.random.default_rng(seed)
    count = max(1, min(len(vectors), round(4.0 * len(vectors) ** 0.5)))
    sample = generator.permutation(len(vectors))[: PER_CELL * count]
    learned = KMeans(count, init="random", n_init=1, max_iter=ROUNDS, random_state=seed).fit(vectors[sample])
    centres = learned.cluster_centers_ / np.linalg.norm(learned.cluster_centers_, axis=1, keepdims=True)
    cells = np.concatenate(
        [np.argmax(vectors[at : at + CHUNK] @ centres.T, axis=1) for at in range(0, len(vectors), CHUNK)]
    )
    order = np.argsort(cells, kind="stable")
    return Grouped(order, np.searchsorted(cells[order], np.arange(count + 1)), centres.astype(np.float32))


def measured(vectors: Vectors, grouped: Grouped, searches: Vectors) -> Told:
    """The least reach that finds enough, of all vectors (N, d) as they lie in cells and of every tenth of them."""
    tenth, some = np.arange(0, len(vectors), 10), searches[:: max(1, len(searches) // SEARCHES)]

    def found(index: Index) -> list[list[Rows]]:
        parts = (index.nearest, partial(index.among, tenth))
        return [[part(search, BEST)[0] for search in some] for part in parts]

    truth = found(Exact(vectors))
    for reach in REACHES:
        least = min(map(recall, found(Cells(vectors, grouped.starts, grouped.centres, reach)), truth))
        if least >= RECALL:
            break
    return Told(cells=len(grouped.centres), reach=reach, recall=round(least, 4))


def recall(found: Sequence[Rows], truth: Sequence[Rows]) -> float:
    """Share of the true best rows of each search that were found."""
    hits = [len(np.intersect1d(mine, best)) for mine, best in zip(found, truth, strict=True)]
    return sum(hits) / sum(map(len, truth))
