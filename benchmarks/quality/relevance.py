"""Home Depot: what the words, the cosine and learning are each worth for the relevance of a product to a query.

    python -m benchmarks.quality relevance [--seeds 7,8,9] [--tuned 7,8,9] [--workers 1]

What was computed for a seed stays in runs/relevance/; delete it there to compute it again. Where the encoder learns a
seed takes 40 minutes of one core.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.progress import Progress

from benchmarks import fitted, record
from training import pipeline
from training.dataset import Dataset
from training.datasets import homedepot
from training.metrics import regression

FOLDER = Path("runs/relevance")
TASK = "query_match"
PROTOCOL = (
    "Titles only. Queries held out whole by md5: buckets 8 and 9 of 10 are the test, 7 validation, which stops "
    "every row's training. Cosine: of query and title by the untrained MiniLM, encoded apart. Words: the features "
    "match and query. Heads: those of the shipped configuration on the frozen encoder, 5 epochs; fine-tuned: all of "
    "it, the encoder's last two layers learn for 2 epochs. LightGBM is not tuned."
)
ORDER = (
    "mean",
    "LightGBM, cosine",
    "LightGBM, words",
    "LightGBM, words and cosine",
    "heads",
    "heads, with words",
    "heads, with words, fine-tuned",
)
FROZEN = {"freeze": "all"}


def main(
    seeds: Annotated[str, typer.Option(help="Separated by commas.")] = "7,8,9",
    tuned: Annotated[str, typer.Option(help="Those of the row whose encoder learns.")] = "7,8,9",
    workers: Annotated[int, typer.Option(help="Seeds at once, one core each.")] = 1,
) -> None:
    """Compute what is missing, and write the table of what is there."""
    os.environ["OMP_NUM_THREADS"] = "1"
    FOLDER.mkdir(parents=True, exist_ok=True)
    homedepot.convert(fitted.source("home-depot"), FOLDER)
    jobs = {f"seed-{seed}": (int(seed), False) for seed in seeds.split(",")}
    jobs |= {f"tuned-{seed}": (int(seed), True) for seed in tuned.split(",") if seed}
    for found in fitted.complete(FOLDER, jobs, compute, workers):
        write(found)


def compute(job: tuple[int, bool]) -> None:
    """One seed, into its file: the row whose encoder learns, or all others."""
    seed, tuned = job
    name, found = (f"tuned-{seed}", learned(seed)) if tuned else (f"seed-{seed}", frozen(seed))
    fitted.keep(FOLDER, name, found)


def learned(seed: int) -> dict[str, dict[str, float]]:
    """The shipped configuration."""
    dataset = fitted.read(fitted.changed(FOLDER / "homedepot.toml", training={"seed": seed}))
    labels = dataset.labels[TASK][dataset.select("test")].astype(np.float64)
    return {ORDER[-1]: measured(labels, fitted.trained(dataset).values[TASK].reshape(-1))}


def frozen(seed: int) -> dict[str, dict[str, float]]:
    """All whose encoder does not learn."""
    worded, bare = (made(seed, words=words) for words in (True, False))
    labels = worded.labels[TASK].astype(np.float64)
    cosine, test = cosines(worded), worded.select("test")
    contexts = {
        "LightGBM, cosine": cosine,
        "LightGBM, words": worded.context,
        "LightGBM, words and cosine": np.hstack([worded.context, cosine]),
    }
    values = {
        "mean": np.full(len(test), labels[worded.select("train")].mean()),
        **{
            row: fitted.boosted(replace(worded, context=context), labels, "regression", seed)
            for row, context in contexts.items()
        },
        "heads": fitted.trained(bare).values[TASK].reshape(-1),
        "heads, with words": fitted.trained(worded).values[TASK].reshape(-1),
    }
    return {row: measured(labels[test], told) for row, told in values.items()}


def measured(labels: Any, told: Any) -> dict[str, float]:
    """What can be said of a row: a constant has no order."""
    return {name: value for name, value in regression(labels, told).items() if np.isfinite(value)}


def made(seed: int, *, words: bool) -> Dataset:
    """The shipped configuration on the frozen encoder, with or without the words of the query."""
    return fitted.read(
        fitted.changed(
            FOLDER / "homedepot.toml",
            model=FROZEN,
            training={"seed": seed, "epochs": 5},
            **({} if words else {"features": {"use": ["history_size"]}}),
        )
    )


def cosines(dataset: Dataset) -> Any:
    """Of each row's query and title, (M, 1)."""
    with Progress(disable=True) as progress:
        texts = pipeline.bench(dataset, fitted.CACHE, progress, []).texts
    vectors = torch.nn.functional.normalize(texts.all(), dim=-1).numpy()
    queries = dataset.requests.queries[dataset.requests.owners]
    return np.einsum("md,md->m", vectors[queries], vectors[dataset.rows])[:, None]


def write(found: dict[str, Any]) -> None:
    """The table of these seeds."""
    measures = ("rmse", "mae", "spearman")
    rows = []
    for row in ORDER:
        of = [each[row] for each in found.values() if row in each]
        rows.append(
            [row, *(fitted.spread([each[name] for each in of if name in each]) for name in measures), len(of)]
        )
    told = record.table(["method", "RMSE", "MAE", "Spearman", "seeds"], rows)
    told += "Mean ± standard deviation over the seeds.\n"
    record.write("quality-relevance", {"seeds": found}, protocol=PROTOCOL, told=told)
