"""Ways to find the rows with the greatest dot product: ours, and those of two libraries.

Each is built from vectors (N, d), written, and read again as a service would; `find` takes a vector, a number and,
for a filter, the rows that pass.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store import index
from model_store.index import Exact, top
from training.export import cells

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]
Find = Callable[[Vectors, int, Rows | None], Rows]

EXACT, CELLS = "exact", "cells"


@dataclass(frozen=True)
class Finder:
    """build, load: seconds; cores: that it could be built on, as it was done; megabytes: of its files, beside the
    vectors; order: where each row of the table lay.
    """

    name: str
    find: Find
    build: float = 0.0
    load: float = 0.0
    megabytes: float = 0.0
    order: Rows | None = None
    note: str = ""
    cores: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))


def ours(vectors: Vectors, searches: Vectors, folder: Path) -> list[Finder]:
    """Every product; and the cells that publishing makes, over the vectors in their order."""
    exact = Exact(vectors)
    start = time.perf_counter()
    grouped = cells.group(vectors)
    lying = vectors[grouped.order]
    built = time.perf_counter() - start
    told = cells.measured(lying, grouped, searches)
    index.write(folder, grouped.starts, grouped.centres)
    start = time.perf_counter()
    opened = index.read(folder, lying, told.reach)
    loaded = time.perf_counter() - start
    size = sum((folder / name).stat().st_size for name in (index.CELLS, index.CENTRES)) / 1e6
    note = f"{told.cells:,} cells, reach {told.reach:g}"
    return [
        Finder(EXACT, _finding(exact)),
        Finder(CELLS, _finding(opened), built, loaded, size, grouped.order, note),
    ]


def rivals(vectors: Vectors, folder: Path, *, graphs: bool) -> list[Finder]:
    """Those whose library is installed; graphs: also those that take minutes to build."""
    found = []
    if find_spec("faiss"):
        lists = round(4 * len(vectors) ** 0.5)
        found += [
            _faiss(vectors, folder, f"IVF{lists},SQ8", keep=3),
            _faiss(vectors, folder, "PQ64x4fs", keep=10),
        ]
        found += [_faiss(vectors, folder, "HNSW24,SQfp16", keep=1)] if graphs else []
    if graphs and find_spec("usearch"):
        found.append(_usearch(vectors, folder))
    return found


def _finding(searched: index.Index) -> Find:
    def find(vector: Vectors, limit: int, rows: Rows | None) -> Rows:
        found = searched.nearest(vector, limit) if rows is None else searched.among(rows, vector, limit)
        return found[0]

    return find


def _faiss(vectors: Vectors, folder: Path, factory: str, *, keep: int) -> Finder:
    """An index of faiss; the best `keep` times as many are ordered anew by their exact products."""
    import faiss  # noqa: PLC0415 an extra

    faiss.omp_set_num_threads(len(os.sched_getaffinity(0)))
    start = time.perf_counter()
    made = faiss.index_factory(vectors.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
    sample = np.random.default_rng(0).permutation(len(vectors))[: 32 * round(4 * len(vectors) ** 0.5)]
    if factory.startswith("IVF"):
        made.cp.max_points_per_centroid, made.cp.min_points_per_centroid = 32, 1
    if factory.startswith("HNSW"):
        made.hnsw.efConstruction = 100
    made.train(vectors[sample])
    made.add(vectors)
    built = time.perf_counter() - start
    path = folder / "faiss.index"
    faiss.write_index(made, str(path))
    start = time.perf_counter()
    opened = faiss.read_index(str(path))
    loaded = time.perf_counter() - start
    faiss.omp_set_num_threads(1)

    def find(vector: Vectors, limit: int, rows: Rows | None) -> Rows:
        parameters = _parameters(faiss, factory, len(vectors), rows)
        near = opened.search(vector[None], keep * limit, params=parameters)[1][0]
        near = near[near >= 0]
        return near[top(vectors[near] @ vector, limit)] if keep > 1 else near

    name = f"faiss {factory}" + (", exact again" if keep > 1 else "")
    return Finder(name, find, built, loaded, path.stat().st_size / 1e6)


def _parameters(faiss: Any, factory: str, count: int, rows: Rows | None) -> Any:
    """Read as much as cells do: a sixteenth of all, of a filter's a quarter."""
    told: dict[str, Any] = {}
    if rows is not None:
        bits = np.zeros(count, dtype=bool)
        bits[rows] = True
        told["sel"] = faiss.IDSelectorBitmap(np.packbits(bits, bitorder="little"))
    if factory.startswith("IVF"):
        lists = round(4 * count**0.5)
        return faiss.SearchParametersIVF(nprobe=lists // (16 if rows is None else 4), **told)
    if factory.startswith("HNSW"):
        return faiss.SearchParametersHNSW(efSearch=400, **told)
    return faiss.SearchParameters(**told) if told else None


def _usearch(vectors: Vectors, folder: Path) -> Finder:
    from usearch.index import Index  # noqa: PLC0415 an extra

    start = time.perf_counter()
    made = Index(ndim=vectors.shape[1], metric="ip", dtype="f16", connectivity=16, expansion_add=100)
    made.add(np.arange(len(vectors)), vectors, threads=len(os.sched_getaffinity(0)))
    built = time.perf_counter() - start
    path = folder / "usearch.index"
    made.save(str(path))
    start = time.perf_counter()
    opened = Index.restore(str(path), view=True)
    loaded = time.perf_counter() - start
    opened.expansion_search = 400

    def find(vector: Vectors, limit: int, rows: Rows | None) -> Rows:
        if rows is not None:
            raise NotImplementedError
        return np.asarray(opened.search(vector, limit, threads=1).keys, dtype=np.int64)

    return Finder("usearch HNSW16, f16", find, built, loaded, path.stat().st_size / 1e6)
