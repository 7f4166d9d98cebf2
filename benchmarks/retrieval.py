"""Finding the nearest items of a large catalogue: every product, the index of a bundle, and what libraries offer.

    python -m benchmarks.retrieval [--items 100000 --items 1000000]

Needs `pip install 'chorus[benchmarks]'` for the rivals; those that are not there are left out.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks import record
from benchmarks.finders import Find, Finder, ours, rivals
from benchmarks.landscape import DIMENSION, landscape
from model_store.index import Exact

Rows = NDArray[np.int64]
Vectors = NDArray[np.float32]

BEST, KEPT = 100, 0.1  # items searched for, and the share that the filter keeps
SEARCHES, TRIED = 420, 200  # made up; measured with. The index measures its own reach with others
GRAPHS = 100_000  # items up to which graphs are built: at a million they take many minutes

PROTOCOL = (
    "Made-up clustered vectors of {dimension} dimensions (benchmarks/landscape.py). The best {best} of one search "
    "at a time, on one thread: recall against every product, mean and least of {tried} searches; milliseconds by "
    "the clock and of the thread's own CPU, which tells what a busy machine hides. It asks for one core; `cores` "
    "are those that it had when it was done, for the machine may say otherwise. The filter keeps {kept:.0%} of the "
    "items, at random, its rows at hand. Megabytes beside the vectors' own."
)


def main(
    items: Annotated[list[int] | None, typer.Option(help="Sizes of the catalogue.")] = None,
    out: Annotated[
        Path, typer.Option(help="Where the results go.", show_default="benchmarks/results")
    ] = record.RESULTS,
) -> None:
    """Measure and write retrieval.json and retrieval.md."""
    rows = [row for size in items or (100_000, 1_000_000) for row in measured(size)]
    protocol = PROTOCOL.format(dimension=DIMENSION, best=BEST, tried=TRIED, kept=KEPT)
    record.write("retrieval", {"rows": rows}, protocol=protocol, told=_told(rows), folder=out)
    typer.echo(_told(rows))


def measured(items: int) -> list[dict[str, Any]]:
    """Every finder on a catalogue of so many items."""
    world = landscape(items, SEARCHES)
    searches, others = world.searches[:TRIED], world.searches[TRIED:]
    passing = np.flatnonzero(np.random.default_rng(1).random(items) < KEPT)
    exact = Exact(world.vectors)
    truth = [exact.nearest(search, BEST)[0] for search in searches]
    kept = [exact.among(passing, search, BEST)[0] for search in searches]
    found: list[dict[str, Any]] = []
    with TemporaryDirectory() as folder:
        finders = ours(world.vectors, others, Path(folder))
        finders += rivals(world.vectors, Path(folder), graphs=items <= GRAPHS)
        for finder in finders:
            about = {"items": items, "finder": finder.name, "note": finder.note}
            about |= {"build s": finder.build, "load s": finder.load, "MB": finder.megabytes}
            about |= {"build cores": finder.cores if finder.build else "–"}
            allowed = passing if finder.order is None else np.flatnonzero(np.isin(finder.order, passing))
            for name, rows, best in (("none", None, truth), (f"{KEPT:.0%}", allowed, kept)):
                try:
                    found.append(about | {"filter": name} | timed(finder, searches, rows, best))
                except (NotImplementedError, RuntimeError):  # an index that takes no filter
                    found.append(about | {"filter": name})
                typer.echo(str(found[-1]))
    return found


def timed(finder: Finder, searches: Vectors, rows: Rows | None, truth: Sequence[Rows]) -> dict[str, float]:
    """Recall and time of the searches, one after the other on one core."""
    with one_core():
        for search in searches[:20]:
            finder.find(search, BEST, rows)
        spent = [_once(finder.find, search, rows) for search in searches]
        cores = len(os.sched_getaffinity(0))
    hits = []
    for (found, _, _), best in zip(spent, truth, strict=True):
        lay = found if finder.order is None else finder.order[found]
        hits.append(len(np.intersect1d(lay, best)) / len(best))
    told: dict[str, float] = {"recall": float(np.mean(hits)), "least": min(hits), "cores": cores}
    for name, values in (("", [wall for _, wall, _ in spent]), ("CPU ", [cpu for _, _, cpu in spent])):
        for share in (50, 99):
            told[f"{name}p{share} ms"] = float(np.percentile(values, share) * 1e3)
    return told


@contextmanager
def one_core() -> Iterator[None]:
    """One thread, asked to stay on the last core that it may use."""
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(mine)})
    try:
        with threadpool_limits(1):
            yield
    finally:
        os.sched_setaffinity(0, mine)


def _once(find: Find, search: Vectors, rows: Rows | None) -> tuple[Rows, float, float]:
    wall, cpu = time.perf_counter(), time.thread_time()
    found = find(search, BEST, rows)
    return found, time.perf_counter() - wall, time.thread_time() - cpu


def _told(rows: Sequence[dict[str, Any]]) -> str:
    columns = (
        "items", "finder", "filter", "recall", "least", "p50 ms", "p99 ms", "CPU p50 ms", "CPU p99 ms", "cores",
        "build s", "build cores", "load s", "MB", "note",
    )  # fmt: skip
    return record.table(columns, [[row.get(column, "–") for column in columns] for row in rows])


if __name__ == "__main__":
    typer.run(main)
