"""What the statistics cost online: waiting, memory, and whether two services count right together.

    python -m benchmarks.online_cost [--run ebnerd] [--requests 2000]

Waiting: the run's bundle and one of the same data without features that read counters or lists shown, served side by
side and asked in turn. Memory: a Redis of its own before and after counting new items. Two services: on one Redis,
told at once about the same items, some events twice.
"""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.progress import Progress

from benchmarks import record, redis_cost, waits
from benchmarks.serving import load, serving
from model_store.engine import cores
from model_store.features import FeatureSet
from model_store.moment import SHOWN_LISTS
from model_store.shelf import Shelf
from training import pipeline
from training.dataset import Dataset
from training.export.publish import publish
from training.run import Run

COUNTED = (
    "count",
    "rate",
    "since",
    "latest",
    "shown",
)  # kinds of features that read what is counted and shown
SIZES = (100, 500)
WITH, WITHOUT = "with statistics", "without"

PROTOCOL = (
    "{name}. Waiting: a bundle with statistics and one of the same data without {left_out} of its {features} "
    "features, each served by a process with an embedded Redis, asked in turn over one open connection each: "
    "{requests:,} times a size and service, for {users} users with the longest histories and {lists} lists "
    "shown to each, all items counted; candidates drawn from the catalogue, k {k}. Milliseconds, at the client "
    "(round) and by Server-Timing. Memory: used_memory of a redis-server before and after every kind of event "
    "was posted once of {items:,} new items. Two services on one Redis: read back with Layout.read, against "
    "Layout.count of the distinct events sent."
)


def main(
    run: Annotated[str, typer.Option(help="Name of a finished run: the folder `runs/<name>`.")] = "ebnerd",
    requests: Annotated[int, typer.Option(help="Requests a size and service.")] = 2_000,
    items: Annotated[int, typer.Option(help="New items whose memory is measured.")] = 100_000,
    runs: Annotated[Path, typer.Option(help="Where the run's folder is.")] = Path("runs"),
    out: Annotated[
        Path, typer.Option(help="Where the results go.", show_default="benchmarks/results")
    ] = record.RESULTS,
) -> None:
    """Measure latency with and without statistics, Redis memory, and counting by two services at once.

    Publishes into a folder of its own and removes it. Writes online-cost.json and .md; ends with code 1 if the two
    services counted anything wrong.
    """
    with Progress() as progress, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench = pipeline.prepare(Run(runs / run).config, runs / "cache", progress)
        Run(runs / run).best(bench.network)
        dataset = bench.dataset
        plain = pipeline.bench(without(dataset), runs / "cache", progress, [])  # untrained: it costs the same
        bundles = {}
        for way, each in ((WITH, bench), (WITHOUT, plain)):
            (folder / way).mkdir()
            bundles[way] = publish(each, Run(folder / way), Shelf(folder / "shelf"), progress).folder
        wanted = waits.asks(dataset, SIZES, requests)
        latency = compare(bundles, dataset, wanted, folder, progress)
        step = progress.add_task("count new items, then write by two services", total=2)
        memory = redis_cost.memory(bundles[WITH], items)
        progress.advance(step)
        together = redis_cost.writers(bundles[WITH])
        progress.advance(step)
    names = dataset.features.use
    protocol = PROTOCOL.format(
        name=run, left_out=len(names) - len(without(dataset).features.use), features=len(names), requests=requests,
        users=waits.USERS, lists=SHOWN_LISTS, k=waits.K, items=items,
    )  # fmt: skip
    found = {"name": run, "latency": latency, "memory": memory, "two services": together}
    tables = told(found)
    record.write("online-cost", found, protocol=protocol, told=tables, folder=out)
    typer.echo(tables)
    if together["wrong"] or together["duplicates noticed"] != together["sent twice"]:
        raise typer.Exit(1)


def without(dataset: Dataset) -> Dataset:
    """The data set without what is counted and shown."""
    features = FeatureSet(dataset.features, dataset.clock)
    kept = tuple(name.written for name in features.names if name.kind not in COUNTED)
    return replace(
        dataset,
        features=dataset.features.model_copy(update={"use": kept}),
        context=np.ascontiguousarray(dataset.context[:, np.isin(features.columns, kept)]),
        lists=None,
    )


def compare(
    bundles: dict[str, Path], dataset: Dataset, wanted: list[waits.Ask], folder: Path, progress: Progress
) -> dict[int, Any]:
    """Both services, warm, asked in turn."""
    settings = {way: {"redis_dir": folder / way / "redis", **redis_cost.PATIENCE} for way in bundles}
    for way, bundle in bundles.items():
        load(bundle, folder / way / "histories.jsonl.gz", **settings[way])
    with (
        serving(bundles[WITH], **settings[WITH]) as one,
        serving(bundles[WITHOUT], **settings[WITHOUT]) as two,
    ):
        waits.warm(one, dataset)
        return waits.measure({WITH: one, WITHOUT: two}, wanted, progress)


def told(found: dict[str, Any]) -> str:
    """The tables."""
    rows = []
    for size, each in found["latency"].items():
        for stage in each[WITH]:
            if stage == "requests":
                continue
            ours, theirs = each[WITH][stage], each[WITHOUT].get(stage, {"p50": 0.0, "p99": 0.0})
            row = [f"{way[point]:.2f}" for point in ("p50", "p99") for way in (ours, theirs)]
            added = [f"{ours[point] - theirs[point]:+.2f}" for point in ("p50", "p99")]
            rows.append([size, stage, *row, *added])
    heads = [
        "candidates",
        "stage, ms",
        "p50 with",
        "p50 without",
        "p99 with",
        "p99 without",
        "added p50",
        "added p99",
    ]
    facts = [record.table([part, ""], list(found[part].items())) for part in ("memory", "two services")]
    return record.table(heads, rows) + "".join(facts)


if __name__ == "__main__":
    torch.set_num_threads(cores())
    typer.run(main)
