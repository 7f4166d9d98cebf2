"""A search log and a click log of the demo shop, trained into one text encoder and each into its own.

python -m benchmarks.quality tables [--seeds 1,2,3] [--freeze last:1] [--workers 2]

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
from benchmarks.quality.joint import command, prepare
from training import config as configs
from training import pipeline, report
from training.config import Config
from training.dataset import Dataset
from training.evaluate import headline
from training.run import Run

FOLDER = Path("runs/tables")
TOML = Path("data/shop/shop.toml")
LOGS = {"search": ("query_match",), "clicks": ("click", "purchase", "dwell", "rating", "time")}
PROTOCOL = (
    "The demo shop's impressions with a query are the search log, of which query match is learned, those without one "
    "the click log, of which the rest is; histories know both. By time: the newest 12 % of each are the test, the "
    "12 % before them validation, which stops the training by the sum of the losses. Together: one text encoder, "
    "batches in turns, the best epoch by the sum of both logs' validation. Alone: each log by itself, of the same "
    "seed and settings."
)


def main(
    seeds: Annotated[str, typer.Option(help="Which, joined by commas.")] = "1,2,3",
    freeze: Annotated[
        str, typer.Option(help="`all`, or `last:N` where N layers of the encoder learn.")
    ] = "all",
    workers: Annotated[int, typer.Option(help="Seeds computed at once, one core each.")] = 1,
) -> None:
    """Train each seed three times, test, and write the table."""
    os.environ["OMP_NUM_THREADS"] = "1"
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not TOML.is_file():
        command("chorus-train", *prepare("shop"))
    jobs = {f"{freeze}-{seed}": (int(seed), freeze) for seed in seeds.split(",")}
    for found in fitted.complete(FOLDER, jobs, compute, workers):
        write(found)


def compute(job: tuple[int, str]) -> None:
    """One seed: both logs together, then each alone."""
    seed, freeze = job
    datasets = {name: part(name, seed, freeze) for name in LOGS}
    joint = trained(datasets, FOLDER / f"{freeze}-{seed}" / "together")
    alone: dict[str, Any] = {}
    for name, dataset in datasets.items():
        alone |= trained({name: dataset}, FOLDER / f"{freeze}-{seed}" / "alone")
    tasks = {task.name: task for dataset in datasets.values() for task in dataset.tasks}
    headlines = {name: headline(task, joint[name]) for name, task in tasks.items()}
    fitted.keep(
        FOLDER, f"{freeze}-{seed}", {"headlines": headlines, "tests": {"joint": joint, "alone": alone}}
    )


def part(name: str, seed: int, freeze: str) -> Dataset:
    """The log of that name."""
    whole = configs.read(TOML)
    training = {"seed": seed, "metric": ""}
    config = whole.model_copy(
        update={
            "name": name,
            "tasks": {task: whole.tasks[task] for task in LOGS[name]},
            "training": whole.training.model_copy(update=training),
            "model": whole.model.model_copy(update={"freeze": freeze}),
        }
    )
    return logged(config, asked=name == "search")


def logged(config: Config, *, asked: bool) -> Dataset:
    """The requests with a query, or those without; the others are in no part."""
    dataset = fitted.read(config)
    requests = dataset.requests
    splits = np.where((requests.queries >= 0) == asked, requests.splits, -1)
    return replace(dataset, requests=replace(requests, splits=splits.astype(requests.splits.dtype)))


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
    return {task: metrics for bench in benches for task, metrics in pipeline.test(bench).items()}


def write(found: dict[str, Any]) -> None:
    """The table of these seeds."""
    if not found:
        return
    told = "\n".join(report.worthwhile(list(found.values()))).replace("| joint |", "| together |")
    told += f"\n\nOver {len(found)} seeds ({', '.join(found)})."
    record.write("quality-tables", {"seeds": found}, protocol=PROTOCOL, told=told)
