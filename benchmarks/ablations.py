"""What each part of the model is worth: the same training without it, several seeds, one table.

    python -m benchmarks.ablations ebnerd [--seeds 7,8,9] [--workers 2]

Reads the tables that `python -m benchmarks.quality ebnerd` wrote. Every row is trained on the training part, stopped
by the validation part, and meets the test part once. Boosting (LightGBM) sees the same columns of context, tuned on
the validation part by as many trials as the network had. Adds `ablations` to benchmarks/results/quality-<name>.json
and a table to the page beside it.
"""

import json
import multiprocessing
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.progress import Progress

from benchmarks import boosting
from benchmarks.record import RESULTS, git
from model_store.features import FeatureSet
from training import config as configs
from training import pipeline, scorecard
from training.build import build
from training.dataset import Dataset
from training.datasets import tables
from training.fit import fit
from training.run import Run

COUNTED = ("count", "rate", "since", "latest", "shown")
TIMED = ("hour", "weekday", "item_age", "since_last", "since")
TOLD = ("share", "again", "habit", "since_last", "history_size")
SHOWN = {
    "click": ("impression_auc", "ndcg@10", "mrr", "log_loss"),
    "read_time": ("log_mae", "log_rmse", "spearman"),
}

Metrics = dict[str, dict[str, float]]


def joint(dataset: Dataset) -> Dataset:
    """Everything."""
    return dataset


def click_alone(dataset: Dataset) -> Dataset:
    """The main task, and no other."""
    main = next(task for task in dataset.tasks if task.main)
    config = dataset.config.model_copy(update={"tasks": {main.name: dataset.config.tasks[main.name]}})
    return replace(
        dataset, config=config, tasks=(main,), labels={main.name: dataset.labels[main.name]}, alone={}
    )


def no_statistics(dataset: Dataset) -> Dataset:
    """No counts, rates, times of events or lists that were shown."""
    return without(dataset, COUNTED)


def no_time(dataset: Dataset) -> Dataset:
    """No clock and no ages; the history has an order, but no times."""
    told = dataset.histories
    return replace(without(dataset, TIMED), histories=replace(told, times=np.zeros_like(told.times)))


def no_text(dataset: Dataset) -> Dataset:
    """All items read alike."""
    return replace(dataset, texts=["item"] * len(dataset.texts))


def no_history(dataset: Dataset) -> Dataset:
    """Nobody did anything before."""
    bare = without(dataset, TOLD)
    return replace(bare, requests=replace(bare.requests, history=np.zeros_like(bare.requests.history)))


PARTS: dict[str, Callable[[Dataset], Dataset]] = {
    "joint": joint, "click alone": click_alone, "without statistics": no_statistics, "without time": no_time,
    "without text": no_text, "without user history": no_history,
}  # fmt: skip


def without(dataset: Dataset, kinds: tuple[str, ...]) -> Dataset:
    """The data set with fewer features."""
    features = FeatureSet(dataset.features, dataset.clock)
    kept = [name.written for name in features.names if name.kind not in kinds]
    columns = np.isin(np.array(features.columns), kept)
    return replace(
        dataset,
        features=dataset.features.model_copy(update={"use": tuple(kept)}),
        context=np.ascontiguousarray(dataset.context[:, columns]),
    )


def main(
    name: Annotated[str, typer.Argument(help="A data set that benchmarks.quality has prepared.")] = "ebnerd",
    seeds: Annotated[str, typer.Option(help="Seeds, separated by commas.")] = "7,8,9",
    rows: Annotated[str, typer.Option(help="Some rows, separated by semicolons; the others stay.")] = "",
    workers: Annotated[int, typer.Option(help="Trainings at once, one core each.")] = 2,
) -> None:
    """Train every row, test it, and write the table."""
    os.environ["OMP_NUM_THREADS"] = "1"
    numbers = [int(seed) for seed in seeds.split(",")]
    chosen = rows.split(";") if rows else [*PARTS, *boosting.ROWS]
    jobs = [(name, row, numbers) for row in boosting.ROWS if row in chosen]
    jobs += [(name, row, [seed]) for seed in numbers for row in PARTS if row in chosen]
    found: dict[str, list[Metrics]] = {}
    spawn = multiprocessing.get_context("spawn")  # threads of torch do not survive a fork
    with Progress() as progress, spawn.Pool(workers, maxtasksperchild=4) as pool:
        bar = progress.add_task("ablations", total=len(jobs))
        for row, metrics in pool.imap_unordered(train, jobs):
            found.setdefault(row, []).extend(metrics)
            progress.update(bar, advance=1, description=f"ablations, last {row}")
            write(name, found)


def train(job: tuple[str, str, list[int]]) -> tuple[str, list[Metrics]]:
    """One row with some seeds, in a process of its own."""
    name, row, seeds = job
    path = Path("data") / name / f"{name}.toml"
    config = configs.read(path)
    config = config.model_copy(update={"training": config.training.model_copy(update={"seed": seeds[0]})})
    dataset = build(config, tables.read(config))
    if row in boosting.ROWS:
        return row, boosting.test(dataset, row, seeds)
    with tempfile.TemporaryDirectory() as folder, Progress(disable=True) as progress:
        bench = pipeline.bench(PARTS[row](dataset), Path("runs/cache"), progress, [])
        fit(bench.network, bench.dataset, bench.texts, Run(Path(folder)), progress)
        return row, [{**scorecard.test(bench), "seed": {"seed": seeds[0]}}]


def write(name: str, found: dict[str, list[Metrics]]) -> None:
    """Add the rows to the results of the data set, and the table to its page."""
    path = RESULTS / f"quality-{name}.json"
    record = json.loads(path.read_bytes())
    found = merged(record.get("ablations", {"rows": {}})["rows"], found)
    record["ablations"] = {"commit": git("rev-parse", "--short", "HEAD"), "rows": found}
    path.write_text(json.dumps(record, indent=1) + "\n")
    page = RESULTS / f"quality-{name}.md"
    before = page.read_text().partition("\n## What each part is worth")[0].rstrip()
    page.write_text(before + "\n\n" + table(found))


def merged(before: dict[str, list[Metrics]], found: dict[str, list[Metrics]]) -> dict[str, list[Metrics]]:
    """All rows in their order, each seed once: what was found now in place of what was there."""
    rows = {}
    for row in (*PARTS, *boosting.ROWS):
        seeds = {int(each["seed"]["seed"]): each for each in [*before.get(row, []), *found.get(row, [])]}
        if seeds:
            rows[row] = [seeds[seed] for seed in sorted(seeds)]
    return rows


def table(found: dict[str, list[Metrics]]) -> str:
    """Means over the seeds, and their standard deviation."""
    seeds = max(map(len, found.values()))
    heading = f"test part, mean ± standard deviation of {seeds} seeds; one number: of one seed"
    lines = [f"## What each part is worth: {heading}", ""]
    for task, metrics in SHOWN.items():
        rows = {row: each for row, each in found.items() if task in each[0]}
        if not rows:
            continue
        lines += [f"| {task} | " + " | ".join(metrics) + " |", "| --- " * (len(metrics) + 1) + "|"]
        for row, each in rows.items():
            lines.append(f"| {row} | " + " | ".join(spread(each, task, metric) for metric in metrics) + " |")
        lines.append("")
    return "\n".join(lines)


def spread(each: list[Metrics], task: str, metric: str) -> str:
    """Mean ± standard deviation over the seeds; of one seed its value alone."""
    values = [metrics[task][metric] for metrics in each if metric in metrics[task]]
    if len(values) > 1:
        return f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}"
    return f"{values[0]:.4f}" if values else ""


if __name__ == "__main__":
    typer.run(main)
