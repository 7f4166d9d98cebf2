"""Time and memory of the offline replay, at ten and a hundred times the log.

    python -m benchmarks.replay_scale [583000 5830000 58300000]

The EB-NeRD log is repeated, each copy two weeks later and with items and users of its own, until it has so many
candidate rows. Each size runs in a process of its own.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from benchmarks import record
from model_store.features import FeatureSet
from model_store.items import Attribute
from training.build import build
from training.config import read
from training.context import ROWS, Recall, Replayed, context
from training.dataset import Dataset, Histories, Requests
from training.datasets import tables
from training.replay import Lists, Log, lists

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

SHIFT = 14 * 86_400.0  # the lists of the log are those of two weeks
KIB_IN_GIB = 1 << 20
STAGES = ("index of counts", "index of lists", "quantities", "matrix")

PROTOCOL = (
    "The EB-NeRD log k times: each copy two weeks later, with items and users of its own; a process for each "
    "size. Index: Replay and Lists of training/replay.py. Quantities: counts, times and lists shown of every "
    "candidate, in chunks, not kept. Matrix: training.context.context, all features. Memory is what is "
    "resident, data included, before a stage and at its peak. Growth: seconds a row over those of the smallest "
    "size, 1 is linear."
)


def main(
    rows: Annotated[list[int] | None, typer.Argument(help="Candidate rows, rounded to whole logs.")] = None,
    config: Annotated[Path, typer.Option(help="The configuration of the log.")] = Path(
        "data/ebnerd/ebnerd.toml"
    ),
    matrix: Annotated[int, typer.Option(help="Most rows of which the whole matrix is made.")] = 6_000_000,
    out: Annotated[
        Path, typer.Option(help="Where the results go.", show_default="benchmarks/results")
    ] = record.RESULTS,
    copies: Annotated[int, typer.Option(hidden=True, help="Measure so many copies here and print it.")] = 0,
) -> None:
    """Measure index, raw quantities and the feature matrix of a log at several sizes.

    58 million rows need some 20 GiB of memory. Writes replay-scale.json and .md.
    """
    if copies:
        typer.echo(json.dumps(measure(config, copies, matrix)))
        return
    sizes = sorted(rows or [583_000, 5_830_000, 58_300_000])
    base = tables.read(read(config)).events["impression"].count()
    found = [_apart(config, max(1, round(size / base)), matrix) for size in sizes]
    for each in found:
        for stage, held in each["stages"].items():
            first = found[0]["stages"].get(stage)
            held["growth"] = (
                held["seconds"] / each["rows"] / (first["seconds"] / found[0]["rows"]) if first else 1.0
            )
    told = _told(found)
    record.write("replay-scale", {"sizes": found}, protocol=PROTOCOL, told=told, folder=out)
    typer.echo(told)


def measure(config: Path, copies: int, most: int) -> dict[str, Any]:
    """One size, in this process."""
    base, events = _read(config)
    dataset, shown = repeated(base, copies), _shown(events, base, copies)
    del base, events
    size, layout = len(dataset.item_ids), FeatureSet(dataset.features, dataset.clock).layout
    stages: dict[str, dict[str, float]] = {}
    with Progress(console=Console(stderr=True)) as progress:
        with _stage(stages, "index of counts"):
            recall = Replayed(dataset.log, None, layout, size)
        with _stage(stages, "index of lists"):
            users, items = shown["user"].to_numpy(), shown["number"].to_numpy()
            found = Lists.read(shown.drop("number"), users, items, len(dataset.user_ids))
        del shown, users, items
        both = _Both(recall, found)
        with _stage(stages, "quantities"):
            _quantities(dataset, both, progress)
        if len(dataset.rows) <= most:
            with _stage(stages, "matrix"):
                context(dataset, both)
    for held in stages.values():
        held["rows a second"] = len(dataset.rows) / held["seconds"]
    return {
        "rows": len(dataset.rows), "requests": len(dataset.requests), "counted events": len(dataset.log.items),
        "items": size, "users": len(dataset.user_ids), "copies": copies, "stages": stages,
    }  # fmt: skip


@dataclass(frozen=True)
class _Both(Recall):
    """Counts of one index, lists of another: they are measured one by one."""

    counts: Replayed
    lists: Lists

    def statistics(self, items: Ints, now: Floats) -> Any:
        return self.counts.statistics(items, now)

    def shown(self, users: Ints, items: Ints, now: Floats, /) -> Any:
        return self.lists.shown(users, items, now)


def _quantities(dataset: Dataset, recall: Recall, progress: Progress) -> None:
    """All raw quantities of all rows, chunk by chunk, kept nowhere."""
    requests = dataset.requests
    bar = progress.add_task("quantities", total=len(dataset.rows))
    for start in range(0, len(dataset.rows), ROWS):
        owners, items = requests.owners[start : start + ROWS], dataset.rows[start : start + ROWS]
        now = requests.times[owners]
        recall.statistics(items, now)
        recall.shown(requests.users[owners], items, now)
        progress.advance(bar, len(items))


def repeated(base: Dataset, copies: int) -> Dataset:
    """The data set so many times, without what the context does not read: texts, labels."""
    items, users = len(base.item_ids), len(base.user_ids)
    told, requests, log = base.histories, base.requests, base.log
    times = _later(log.times, copies)
    order = np.argsort(times, kind="stable")
    return replace(
        base,
        texts=[],
        item_ids=base.item_ids * copies,
        user_ids=base.user_ids * copies,
        published=_later(base.published, copies),
        attributes={
            name: Attribute(one.values, np.tile(one.codes, (copies, 1))) for name, one in base.attributes.items()
        },
        histories=Histories(
            items=_other(told.items, copies, items), events=np.tile(told.events, copies),
            times=_later(told.times, copies), starts=_bounds(told.starts, copies),
        ),
        requests=Requests(
            users=_other(requests.users, copies, users), queries=np.tile(requests.queries, copies),
            times=_later(requests.times, copies), starts=_bounds(requests.starts, copies),
            splits=np.tile(requests.splits, copies),
            history=np.concatenate([requests.history + copy * len(told.items) for copy in range(copies)]),
        ),
        rows=_other(base.rows, copies, items),
        numbers={name: np.tile(values, copies) for name, values in base.numbers.items()},
        words={name: np.tile(codes, copies) for name, codes in base.words.items()},
        log=Log(_other(log.items, copies, items)[order], np.tile(log.kinds, copies)[order], times[order], {}),
        lists=None,
        context=np.zeros((0, 0), dtype=np.float32),
        labels={},
        alone={},
    )  # fmt: skip


def _shown(events: pl.DataFrame, base: Dataset, copies: int) -> pl.DataFrame:
    """The rows of lists as numbers: impression, user, time and the item's number."""
    items = {item: number for number, item in enumerate(base.item_ids)}
    users = {user: number for number, user in enumerate(base.user_ids)}
    rows = lists(events).drop_nulls(["impression", "user"])
    one = rows.select(
        pl.col("impression").rank("dense").cast(pl.Int64),
        pl.col("user").replace_strict(users, return_dtype=pl.Int64),
        "time",
        number=pl.col("item").replace_strict(items, return_dtype=pl.Int64),
    )
    steps = {"impression": len(one), "user": len(users), "time": SHIFT, "number": len(items)}
    parts = (
        one.select((pl.col(name) + copy * step).alias(name) for name, step in steps.items())
        for copy in range(copies)
    )
    return pl.concat(parts, rechunk=True)


def _read(config: Path) -> tuple[Dataset, pl.DataFrame]:
    settings = read(config)
    found = tables.read(settings)
    return build(settings, found), found.events


def _apart(config: Path, copies: int, matrix: int) -> dict[str, Any]:
    """One size in a process of its own."""
    typer.echo(f"{copies} x the log", err=True)
    command = [sys.executable, "-m", "benchmarks.replay_scale", "--config", str(config)]
    command += ["--copies", str(copies), "--matrix", str(matrix)]
    found: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


@contextmanager
def _stage(stages: dict[str, dict[str, float]], name: str) -> Iterator[None]:
    """Seconds of wall and of processor, and the resident peak in between."""
    Path("/proc/self/clear_refs").write_text("5")  # the kernel's word for: forget the peak
    before, start, used = _resident("VmRSS"), time.perf_counter(), time.process_time()
    yield
    stages[name] = {"seconds": time.perf_counter() - start, "processor seconds": time.process_time() - used,
                    "GiB before": before, "peak GiB": _resident("VmHWM")}  # fmt: skip


def _resident(name: str) -> float:
    """GiB now (VmRSS) or at the peak (VmHWM). ru_maxrss would be the parent's, if that had more."""
    lines = Path("/proc/self/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith(f"{name}:")]
    return int(line.split()[1]) / KIB_IN_GIB


def _other(numbers: Ints, copies: int, size: int) -> Ints:
    """Copies with numbers of their own; -1 stays."""
    return np.concatenate([np.where(numbers < 0, numbers, numbers + copy * size) for copy in range(copies)])


def _later(times: Floats, copies: int) -> Floats:
    return np.concatenate([times + copy * SHIFT for copy in range(copies)])


def _bounds(starts: Ints, copies: int) -> Ints:
    parts = [starts[:-1] + copy * starts[-1] for copy in range(copies)]
    return np.concatenate([*parts, [copies * starts[-1]]])


def _told(found: list[dict[str, Any]]) -> str:
    keys = ("seconds", "processor seconds", "rows a second", "growth", "GiB before", "peak GiB")
    rows = [
        (each["rows"], stage, *(each["stages"][stage][key] for key in keys))
        for each in found
        for stage in STAGES
        if stage in each["stages"]
    ]
    whole = record.table(["rows", "requests", "counted events", "items", "users"],
                         [[each[key] for key in ("rows", "requests", "counted events", "items", "users")]
                          for each in found])  # fmt: skip
    return whole + record.table(["rows", "stage", *keys], rows)


if __name__ == "__main__":
    typer.run(main)
