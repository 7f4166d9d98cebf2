"""Gradient boosting on the context features: what a team deploys that has no text model.

LightGBM sees every column that the heads see as context, the item's category among them. Of TRIALS random settings
the one is taken that is best on the validation part by the metric that chooses the network's epoch; the validation
part also stops the boosting, and the test part is met once.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import ParameterSampler

from model_store.manifest import Task
from training import ranking
from training.dataset import Dataset
from training.evaluate import logarithmic, score
from training.predict import known

Array = NDArray[Any]

ROWS = ("LightGBM", "LightGBM, ranking")
TRIALS, ROUNDS, PATIENCE = 16, 1_500, 60
SPACE = {
    "num_leaves": [15, 31, 63, 127],
    "learning_rate": [0.03, 0.05, 0.08],
    "min_data_in_leaf": [30, 100, 300, 1_000],
    "feature_fraction": [0.2, 0.3, 0.5, 0.8],
    "lambda_l2": [0.0, 1.0, 10.0],
}
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
    for values in _tuned(Problem(dataset, labels, _all(dataset), ranks=True, lists=lists), objective, seeds):
        served = 1.0 / (1.0 + np.exp(-values)) if lists else values
        found.append(score(task, labels[test], served, dataset.requests.owners[test]))
    return found


def measured(dataset: Dataset, task: Task, seeds: list[int]) -> list[dict[str, float]]:
    """A number: squared error on the scale on which the network learns it."""
    log = dataset.config.tasks[task.name].transform == "log1p"
    labels = dataset.labels[task.name].astype(np.float64)
    rows = {split: part[known(labels[part])] for split, part in _all(dataset).items()}
    problem = Problem(dataset, np.log1p(labels) if log else labels, rows, ranks=False)
    found = []
    for values in _tuned(problem, {"objective": "regression"}, seeds):
        served = np.expm1(values) if log else values
        metrics = score(task, labels[rows["test"]], served)
        found.append(metrics | (logarithmic(task, labels[rows["test"]], served) if log else {}))
    return found


@dataclass(frozen=True)
class Problem:
    """What is learned: labels of all rows, the rows of each split that have one, whether clicks in lists rank,
    and whether they are learned list by list.
    """

    dataset: Dataset
    labels: Array
    rows: dict[str, Array]
    ranks: bool
    lists: bool = False

    def part(self, split: str, reference: Any = None) -> Any:
        """One split as LightGBM takes it."""
        rows = self.rows[split]
        owners = self.dataset.requests.owners[rows]
        sizes = np.unique(owners, return_counts=True)[1] if self.lists else None
        return _library().Dataset(
            self.dataset.context[rows], self.labels[rows], group=sizes, reference=reference, free_raw_data=False,
            params={"feature_pre_filter": False, "verbosity": -1},
        )  # fmt: skip

    def reached(self, model: Any) -> float:
        """How good it is on validation, more is better: AUC within each list, or the squared error of a number."""
        rows = self.rows["validation"]
        values, labels = np.asarray(model.predict(self.dataset.context[rows])), self.labels[rows]
        if not self.ranks:
            return -float(np.square(values - labels).mean())
        return ranking.evaluate(labels, values, groups=self.dataset.requests.owners[rows])["auc"]


def _tuned(problem: Problem, objective: dict[str, Any], seeds: list[int]) -> list[Array]:
    """What the best of the settings says of the test rows, once a seed; the first seed chooses."""
    best, chosen = -np.inf, {}
    for settings in ParameterSampler(SPACE, TRIALS, random_state=0):
        reached = problem.reached(_trained(problem, {**objective, **settings, "seed": seeds[0]}))
        if reached > best:
            best, chosen = reached, settings
    test = problem.dataset.context[problem.rows["test"]]
    models = (_trained(problem, {**objective, **chosen, "seed": seed}) for seed in seeds)
    return [np.asarray(model.predict(test)) for model in models]


def _trained(problem: Problem, settings: dict[str, Any]) -> Any:
    """A model stopped by validation."""
    train = problem.part("train")
    stop = _library().early_stopping(PATIENCE, verbose=False)
    parameters = {**COMMON, **settings, "eval_at": [10]}
    return _library().train(
        parameters, train, ROUNDS, valid_sets=[problem.part("validation", train)], callbacks=[stop]
    )


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
