"""One training of a configuration, ready to be asked: what the quality tables share."""

import json
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from benchmarks.boosting import COMMON
from model_store.features import FeatureSet
from training import config as configs
from training import pipeline
from training.build import build
from training.config import Config
from training.dataset import SPLITS, Dataset
from training.datasets import tables
from training.predict import Predictions, known, predict, represent
from training.run import Run

Array = NDArray[Any]
Job = TypeVar("Job")
CACHE = Path("runs/cache")
STOP, ROUNDS = 50, 1_000


def source(folder: str) -> Path:
    """A folder of the public data sets; SystemExit if it is absent."""
    found = Path(os.environ.get("CHORUS_DATA", "../shared/data")) / folder
    if not found.is_dir():
        raise SystemExit(f"{found} is absent; set CHORUS_DATA to the folder of the public data sets")
    return found


def changed(path: Path, **sections: Mapping[str, Any]) -> Config:
    """A configuration with some keys of its sections changed, or left out where they are None; checked."""
    config = configs.read(path)
    record = config.model_dump(exclude={"folder"}, exclude_unset=True)
    for name, keys in sections.items():
        merged = {**record.get(name, {}), **keys}
        record[name] = {key: value for key, value in merged.items() if value is not None}
    return configs.parse(record, path)


def read(config: Config) -> Dataset:
    """The arrays of a configuration."""
    return build(config, tables.read(config))


def trained(dataset: Dataset) -> Predictions:
    """What a network fitted to a data set says of the test part."""
    CACHE.mkdir(parents=True, exist_ok=True)  # a run looks for it beside itself
    with tempfile.TemporaryDirectory(dir=CACHE.parent) as folder, Progress(disable=True) as progress:
        bench = pipeline.bench(dataset, CACHE, progress, [])
        pipeline.train(bench, Run(Path(folder)), progress)
    represented = represent(bench.network, dataset, bench.texts)
    return predict(bench.network, dataset, represented, "test")


def thinned(dataset: Dataset, shares: Mapping[str, float]) -> Dataset:
    """Some of the requests of these parts, by lot, always the same; the others are in no part.

    Histories and what is counted know of all: only what is learned from, or asked, gets less.
    """
    splits, lots = dataset.requests.splits.copy(), np.random.default_rng(0).random(len(dataset.requests))
    for part, share in shares.items():
        splits[(dataset.requests.splits == SPLITS[part]) & (lots >= share)] = -1
    return replace(dataset, requests=replace(dataset.requests, splits=splits))


def labelled(dataset: Dataset) -> Dataset:
    """Without the candidates that no task has a label for, but for one of a request: they cost and teach nothing."""
    requests = dataset.requests
    has = np.zeros(len(dataset.rows), dtype=bool)
    for labels in dataset.labels.values():
        has |= known(labels)
    bare = np.bincount(requests.owners[has], minlength=len(requests)) == 0
    has[requests.starts[:-1][bare]] = True
    sizes = np.bincount(requests.owners[has], minlength=len(requests))
    return replace(
        dataset,
        requests=replace(requests, starts=np.cumsum([0, *sizes])),
        rows=dataset.rows[has],
        context=dataset.context[has],
        labels={name: labels[has] for name, labels in dataset.labels.items()},
    )


def boosted(dataset: Dataset, labels: Array, objective: str, seed: int, *, refit: bool = False) -> Array:
    """What LightGBM on the heads' own features says of the test part; stopped by the validation part.

    refit: grown once more, as many trees, from training and validation together.
    """
    import lightgbm  # noqa: PLC0415

    rows = {part: dataset.select(part) for part in ("train", "validation", "test")}
    settings = {
        **COMMON, "objective": objective, "learning_rate": 0.04, "num_leaves": 15, "min_data_in_leaf": 100,
        "feature_fraction": 0.5, "lambda_l2": 5.0, "seed": seed,
    }  # fmt: skip
    train = lightgbm.Dataset(dataset.context[rows["train"]], labels[rows["train"]])
    check = train.create_valid(dataset.context[rows["validation"]], labels[rows["validation"]])
    stop = lightgbm.early_stopping(STOP, verbose=False)
    model = lightgbm.train(settings, train, ROUNDS, valid_sets=[check], callbacks=[stop])
    if refit:
        both = np.concatenate([rows["train"], rows["validation"]])
        whole = lightgbm.Dataset(dataset.context[both], labels[both])
        model = lightgbm.train(settings, whole, model.best_iteration)
    return np.asarray(model.predict(dataset.context[rows["test"]]))


def without(dataset: Dataset, written: Sequence[str]) -> Dataset:
    """The data set without some features."""
    columns = np.isin(np.array(FeatureSet(dataset.features, dataset.clock).columns), written)
    use = tuple(name for name in dataset.features.use if name not in written)
    features = dataset.features.model_copy(update={"use": use})
    return replace(dataset, features=features, context=np.ascontiguousarray(dataset.context[:, ~columns]))


def keep(folder: Path, name: str, found: Mapping[str, Any]) -> None:
    """The rows of a split or a seed, as a file that is whole or not there."""
    partial = folder / f"{name}.partial"
    partial.write_text(json.dumps(found, indent=1))
    partial.rename(folder / f"{name}.json")


def complete(
    folder: Path, jobs: Mapping[str, Job], compute: Callable[[Job], None], workers: int
) -> Iterator[dict[str, Any]]:
    """Compute what is not kept of these jobs, some at once; after each, and at the end, the rows by name."""
    paths = {name: folder / f"{name}.json" for name in jobs}
    missing = [job for name, job in jobs.items() if not paths[name].is_file()]
    for _ in chain(_computed(missing, compute, workers), [None]):
        yield {name: json.loads(path.read_bytes()) for name, path in paths.items() if path.is_file()}


def _computed(jobs: Sequence[Job], compute: Callable[[Job], None], workers: int) -> Iterator[None]:
    """In processes of their own if there are several: one alone need not start anew."""
    if workers == 1:
        yield from map(compute, jobs)
        return
    with multiprocessing.get_context("spawn").Pool(workers, maxtasksperchild=1) as pool:
        yield from pool.imap_unordered(compute, jobs)


def crossed(
    folder: Path, data: str, seeds: str, compute: Callable[[tuple[str, int]], None]
) -> Iterator[dict[str, Any]]:
    """`complete` for each data set with each seed, both joined by commas, one after the other on one thread."""
    os.environ["OMP_NUM_THREADS"] = "1"
    folder.mkdir(parents=True, exist_ok=True)
    jobs = {f"{name}-{seed}": (name, int(seed)) for name in data.split(",") for seed in seeds.split(",")}
    return complete(folder, jobs, compute, 1)


def spread(values: Sequence[float]) -> str:
    """Mean ± standard deviation; of one value itself, of none nothing."""
    if not values:
        return ""
    if len(values) == 1:
        return f"{values[0]:.4f}"
    return f"{np.mean(values):.4f} ± {np.std(values, ddof=1):.4f}"
