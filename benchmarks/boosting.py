"""Gradient boosting on the context features: what a team deploys that has no text model.

LightGBM sees every column that the heads see as context, the item's category among them. Settings are chosen on the
validation part, which also stops the boosting; the test part is met once.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.manifest import Task
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


def test(dataset: Dataset, row: str, seeds: list[int]) -> list[dict[str, dict[str, float]]]:
    """Test metrics of the main task and of the numbers, one record a seed."""
    found: list[dict[str, dict[str, float]]] = [{"seed": {"seed": seed}} for seed in seeds]
    for task in dataset.tasks:
        ranks = task.type == "binary" and task.main
        if ranks or (task.type == "regression" and task.online and row == ROWS[0]):
            each = ranked(dataset, task, seeds, row) if ranks else measured(dataset, task, seeds)
            for record, metrics in zip(found, each, strict=True):
                record[task.name] = metrics
    return found


def ranked(dataset: Dataset, task: Task, seeds: list[int], row: str) -> list[dict[str, float]]:
    """A binary task: log loss, or LambdaRank within each list."""
    labels = np.nan_to_num(dataset.labels[task.name].astype(np.float64))
    lists = row == ROWS[1]
    objective = (
        {"objective": "lambdarank", "lambdarank_truncation_level": 20} if lists else {"objective": "binary"}
    )
    test = dataset.select("test")
    found = []
    for values in _tuned(Problem(dataset, labels, _all(dataset), lists=lists), objective, seeds):
        served = 1.0 / (1.0 + np.exp(-values)) if lists else values
        found.append(score(task, labels[test], served, dataset.requests.owners[test]))
    return found


def measured(dataset: Dataset, task: Task, seeds: list[int]) -> list[dict[str, float]]:
    """A number: squared error on the scale on which the network learns it."""
    log = dataset.config.tasks[task.name].transform == "log1p"
    labels = dataset.labels[task.name].astype(np.float64)
    rows = {split: part[known(labels[part])] for split, part in _all(dataset).items()}
    problem = Problem(dataset, np.log1p(labels) if log else labels, rows, lists=False)
    found = []
    for values in _tuned(problem, {"objective": "regression"}, seeds):
        served = np.expm1(values) if log else values
        metrics = score(task, labels[rows["test"]], served)
        found.append(metrics | (logarithmic(task, labels[rows["test"]], served) if log else {}))
    return found


@dataclass(frozen=True)
class Problem:
    """What is learned: labels of all rows, the rows of each split that have one, whether in lists."""

    dataset: Dataset
    labels: Array
    rows: dict[str, Array]
    lists: bool

    def part(self, split: str, reference: Any = None) -> Any:
        """One split as LightGBM takes it."""
        rows = self.rows[split]
        owners = self.dataset.requests.owners[rows]
        sizes = np.unique(owners, return_counts=True)[1] if self.lists else None
        return _library().Dataset(
            self.dataset.context[rows], self.labels[rows], group=sizes, reference=reference, free_raw_data=False,
            params={"feature_pre_filter": False, "verbosity": -1},
        )  # fmt: skip


def _tuned(problem: Problem, objective: dict[str, Any], seeds: list[int]) -> list[Array]:
    """What the best of the settings says of the test rows, once a seed; the first seed chooses."""
    trials = [_trained(problem, {**objective, **settings, "seed": seeds[0]}) for settings in SETTINGS]
    best = max(range(len(trials)), key=lambda number: trials[number][0])
    others = [_trained(problem, {**objective, **SETTINGS[best], "seed": seed}) for seed in seeds[1:]]
    test = problem.dataset.context[problem.rows["test"]]
    return [np.asarray(model.predict(test)) for _, model in (trials[best], *others)]


def _trained(problem: Problem, settings: dict[str, Any]) -> tuple[float, Any]:
    """A model stopped by validation, and what it reached there: more is better."""
    train = problem.part("train")
    stop = _library().early_stopping(PATIENCE, verbose=False)
    parameters = {**COMMON, **settings, "eval_at": [10]}
    model = _library().train(
        parameters, train, ROUNDS, valid_sets=[problem.part("validation", train)], callbacks=[stop]
    )
    [(metric, value)] = list(model.best_score["valid_0"].items())
    return (value if metric.startswith("ndcg") else -value), model


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
