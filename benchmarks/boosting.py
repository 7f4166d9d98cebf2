"""Gradient boosting on the context features: what a team deploys that has no text model.

LightGBM sees every column that the heads see as context, the item's category among them. Settings are chosen on the
validation part, which also stops the boosting; the test part is met once.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.dataset import Dataset
from training.evaluate import logarithmic, score
from training.predict import known

Array = NDArray[Any]

ROWS = ("LightGBM", "LightGBM, ranking")
ROUNDS, PATIENCE = 1_500, 60
SETTINGS = tuple(
    {"num_leaves": leaves, "learning_rate": rate, "min_data_in_leaf": least, "feature_fraction": share}
    for leaves, rate in ((15, 0.05), (31, 0.05), (63, 0.03))
    for least, share in ((100, 0.5), (300, 0.3))
)
COMMON = {
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "verbosity": -1,
    "num_threads": 1,
    "deterministic": True,
}


def test(dataset: Dataset, row: str, seed: int) -> dict[str, dict[str, float]]:
    """Test metrics of the main task and of the numbers, by the settings that validation prefers."""
    found = {}
    for task in dataset.tasks:
        if task.type == "binary" and task.main:
            found[task.name] = ranked(dataset, task.name, seed, ranking=row == ROWS[1])
        elif task.type == "regression" and task.online and row == ROWS[0]:
            found[task.name] = measured(dataset, task.name, seed)
    return found


def ranked(dataset: Dataset, name: str, seed: int, *, ranking: bool) -> dict[str, float]:
    """A binary task: log loss, or LambdaRank within each list."""
    labels = np.nan_to_num(dataset.labels[name].astype(np.float64))
    objective = (
        {"objective": "lambdarank", "lambdarank_truncation_level": 20} if ranking else {"objective": "binary"}
    )
    best, values = _best(dataset, labels, objective, seed, rows=_all(dataset), groups=ranking)
    task = next(task for task in dataset.tasks if task.name == name)
    test = dataset.select("test")
    served = values if not ranking else 1.0 / (1.0 + np.exp(-values))
    metrics = score(task, labels[test], served, dataset.requests.owners[test])
    return metrics | {"validation": best}


def measured(dataset: Dataset, name: str, seed: int) -> dict[str, float]:
    """A number: squared error on the scale on which the network learns it."""
    log = dataset.config.tasks[name].transform == "log1p"
    labels = dataset.labels[name].astype(np.float64)
    told = np.log1p(labels) if log else labels
    rows = {split: part[known(labels[part])] for split, part in _all(dataset).items()}
    best, values = _best(dataset, told, {"objective": "regression"}, seed, rows=rows, groups=False)
    task = next(task for task in dataset.tasks if task.name == name)
    served = np.expm1(values) if log else values
    metrics = score(task, labels[rows["test"]], served)
    if log:
        metrics |= logarithmic(task, labels[rows["test"]], served)
    return metrics | {"validation": best}


def _best(
    dataset: Dataset,
    labels: Array,
    objective: dict[str, Any],
    seed: int,
    *,
    rows: dict[str, Array],
    groups: bool,
) -> tuple[float, Array]:
    """The best of the settings by its own loss on validation, and what it says of the test rows."""
    lightgbm = _library()
    owners = dataset.requests.owners
    parts = {}
    for split in ("train", "validation"):
        sizes = np.unique(owners[rows[split]], return_counts=True)[1] if groups else None
        parts[split] = (dataset.context[rows[split]], labels[rows[split]], sizes)
    best, model = -np.inf, None
    train = lightgbm.Dataset(
        parts["train"][0], parts["train"][1], group=parts["train"][2], free_raw_data=False
    )
    for settings in SETTINGS:
        valid = lightgbm.Dataset(parts["validation"][0], parts["validation"][1], group=parts["validation"][2],
                                 reference=train)  # fmt: skip
        found = lightgbm.train(
            {**COMMON, **objective, **settings, "seed": seed, "feature_pre_filter": False, "eval_at": [10]},
            train, ROUNDS, valid_sets=[valid], callbacks=[lightgbm.early_stopping(PATIENCE, verbose=False)],
        )  # fmt: skip
        [(metric, value)] = list(found.best_score["valid_0"].items())
        reached = value if metric.startswith("ndcg") else -value
        if reached > best:
            best, model = reached, found
    return float(best), np.asarray(model.predict(dataset.context[rows["test"]]))


def _all(dataset: Dataset) -> dict[str, Array]:
    return {split: dataset.select(split) for split in ("train", "validation", "test")}


@cache
def _library() -> Any:
    try:
        import lightgbm  # noqa: PLC0415
    except ImportError as error:
        raise SystemExit(
            "boosting needs LightGBM: pip install -e .[benchmarks] -c constraints.txt"
        ) from error
    return lightgbm
