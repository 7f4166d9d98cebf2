"""A search log and a click log of a shop, trained into one text encoder and each into its own.

python -m benchmarks.quality tables [--seeds 7,8,9] [--freeze last:1] [--workers 2]

A seed that was computed stays in runs/tables/; delete it there to compute it again.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.progress import Progress

from benchmarks import fitted, record
from benchmarks.quality import sharing
from training import pipeline, report, scorecard
from training.config import Config
from training.dataset import Dataset
from training.evaluate import headline
from training.run import Run

FOLDER = Path("runs/tables")
LOGS = {"search": ("query_match",), "clicks": ("click", "purchase", "dwell", "rating", "time")}
WEIGHTS = {"query_match": 6.0}  # beside the other log
PROTOCOL = (
    "A shop four times as busy as the demo, an eighth of its training part, and the rate, as in quality-sharing. The "
    "shop's impressions with a query are the search log, of which query match is learned, those without one "
    "the click log, of which the rest is; histories know both. By time: the newest 12 % of each are the test, the "
    "12 % before them validation, which stops the training by the sum of the losses. Together: one text encoder, "
    "batches in turns, the best epoch by the sum of both logs' validation. Alone: each log by itself, of the same "
    "seed and settings, but that query match weighs six-fold beside the other log: of 1 and 6 that was chosen on "
    "validation (three seeds: query match -0.0016 ± 0.0015 and -0.0010 ± 0.0022, click +0.0039 ± 0.0032 and "
    "+0.0043 ± 0.0007, purchase -0.0008 ± 0.0027 and +0.0014 ± 0.0042). Tried there, too, and left out as the log by "
    "itself did without: FAMO of the click log's tasks (click +0.0187 ± 0.0094). Before, this table was of the demo "
    "itself, at half of the rate, with equal weights: query match -0.0066 ± 0.0028, click +0.0026 ± 0.0091, "
    "Δm +0.20 ± 1.04 %."
)


def main(
    seeds: Annotated[str, typer.Option(help="Which, joined by commas.")] = "7,8,9",
    freeze: Annotated[
        str, typer.Option(help="`all`, or `last:N` where N layers of the encoder learn.")
    ] = "all",
    workers: Annotated[int, typer.Option(help="Seeds computed at once, one core each.")] = 1,
) -> None:
    """Train each seed three times, test, and write the table."""
    os.environ["OMP_NUM_THREADS"] = "1"
    FOLDER.mkdir(parents=True, exist_ok=True)
    jobs = {f"{freeze}-{seed}": (int(seed), freeze) for seed in seeds.split(",")}
    for found in fitted.complete(FOLDER, jobs, compute, workers):
        write(found)


def compute(job: tuple[int, str]) -> None:
    """One seed: both logs together, then each alone."""
    seed, freeze = job
    datasets = {name: part(name, seed, freeze, weighed=True) for name in LOGS}
    joint = trained(datasets, FOLDER / f"{freeze}-{seed}" / "together")
    alone: dict[str, Any] = {}
    for name in LOGS:
        single = {name: part(name, seed, freeze, weighed=False)}
        alone |= trained(single, FOLDER / f"{freeze}-{seed}" / "alone")
    tasks = {task.name: task for dataset in datasets.values() for task in dataset.tasks}
    headlines = {name: headline(task, joint[name]) for name, task in tasks.items()}
    fitted.keep(
        FOLDER, f"{freeze}-{seed}", {"headlines": headlines, "tests": {"joint": joint, "alone": alone}}
    )


def part(name: str, seed: int, freeze: str, *, weighed: bool) -> Dataset:
    """The log of that name; `weighed`: its tasks count as they do beside the other log."""
    whole = sharing.source("shop")
    config = whole.config
    tasks = {task: config.tasks[task] for task in LOGS[name]}
    for task in WEIGHTS.keys() & tasks if weighed else ():
        tasks[task] = tasks[task].model_copy(update={"weight": WEIGHTS[task]})
    config = config.model_copy(
        update={
            "name": name,
            "tasks": tasks,
            "training": config.training.model_copy(update={"seed": seed, "metric": ""}),
            "model": config.model.model_copy(update={"freeze": freeze}),
        }
    )
    return logged(whole, config, asked=name == "search")


def logged(whole: Dataset, config: Config, *, asked: bool) -> Dataset:
    """The requests with a query, or those without, for the configuration's tasks; the others are in no part."""
    requests = whole.requests
    splits = np.where((requests.queries >= 0) == asked, requests.splits, -1)
    return replace(
        whole,
        config=config,
        requests=replace(requests, splits=splits.astype(requests.splits.dtype)),
        tasks=tuple(task for task in whole.tasks if task.name in config.tasks),
        labels={name: labels for name, labels in whole.labels.items() if name in config.tasks},
        alone={name: labels for name, labels in whole.alone.items() if name in config.tasks},
    )


def trained(datasets: dict[str, Dataset], folder: Path) -> dict[str, Any]:
    """Test metrics of the tasks of logs that share an encoder."""
    runs = [Run(folder / name) for name in datasets]
    for run in runs:
        run.folder.mkdir(parents=True, exist_ok=True)
    with Progress(disable=True) as progress:
        benches = [pipeline.bench(dataset, fitted.CACHE, progress, []) for dataset in datasets.values()]
        if len(benches) > 1:
            benches = pipeline.shared(benches, fitted.CACHE, progress)
        pipeline.train_all(benches, runs, progress)
    return {task: metrics for bench in benches for task, metrics in scorecard.test(bench).items()}


def write(found: dict[str, Any]) -> None:
    """The table of these seeds."""
    if not found:
        return
    told = "\n".join(report.worthwhile(list(found.values()))).replace("| joint |", "| together |")
    told += f"\n\nOver {len(found)} seeds ({', '.join(found)})."
    record.write("quality-tables", {"seeds": found}, protocol=PROTOCOL, told=told)
