"""What each context feature is worth: how much worse the network does when the feature's values are permuted.

Permutation importance (Breiman, Random Forests, Machine Learning 2001) on the validation part. A feature and its
`list:` form are one group: all their columns move together, between requests where they are the same for all of a
list, among all candidates otherwise. Only the heads are run again: vectors of users and items stay as they are.

What several features tell alike is not lost with one of them; `together` permutes all.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor

from model_store import names
from model_store.features import FeatureSet
from model_store.manifest import Task
from training.batches import Batches
from training.dataset import Dataset
from training.errors import ConfigError, DataError
from training.evaluate import LOWER_IS_BETTER, headline, logarithmic, score
from training.model.network import Network
from training.predict import REQUESTS, Represented, served
from training.report import SHOWN

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

PART = "validation"
LIMIT, SEEDS = 5_000, 3  # requests that are asked, permutations of each feature
WORDS = {**SHOWN, "impression_auc": "per-impression AUC"}


@dataclass(frozen=True)
class Worth:
    """What permuting one feature costs: a drop for each seed, their mean and standard deviation.

    among: `requests` if the feature is the same for all of a list, else `candidates`.
    """

    name: str
    columns: int
    among: str
    drops: tuple[float, ...]
    mean: float
    spread: float


@dataclass(frozen=True)
class Importance:
    """Features of a run, the one that costs most first; a drop is positive where the metric gets worse."""

    task: str
    metric: str
    value: float
    requests: int
    rows: int
    features: tuple[Worth, ...]
    together: Worth

    @property
    def words(self) -> str:
        """The metric as people say it."""
        return WORDS.get(self.metric, self.metric.replace("_", " "))

    @property
    def caption(self) -> str:
        """How to read the plot."""
        return (
            f"The {self.words} of `{self.task}` is {self.value:.4f} on {self.requests:,} requests of the {PART} "
            f"part. A bar says how much worse it gets when the values of one feature, with its `list:` form, are "
            f"permuted: mean and standard deviation of {len(self.together.drops)} permutations. What several "
            f"features tell alike is not lost with one of them; all permuted together cost {self.together.mean:.4f}."
        )

    def record(self) -> dict[str, Any]:
        """The same for a JSON file."""
        return {"part": PART, **asdict(self), "caption": self.caption}


class Rerun:
    """All that the heads read of a part but the context, computed once."""

    @torch.no_grad()
    def __init__(self, network: Network, dataset: Dataset, represented: Represented, task: Task) -> None:
        self._network, self._vectors, self._task = network.eval(), represented.vectors, task
        self._pieces: list[tuple[Tensor, Tensor, Tensor, Tensor, Ints]] = []
        for chunk, batch in Batches(dataset).split(PART, REQUESTS):
            vectors = represented.vectors[batch.texts]
            real = batch.mask > 0
            query = vectors[batch.queries] * batch.query_mask.unsqueeze(-1)
            rows = (dataset.requests.starts[chunk][:, None] + np.arange(real.shape[1]))[real.numpy()]
            items = batch.texts[batch.candidates]
            self._pieces.append((network.users(batch, vectors), query, items, real, rows))

    @torch.no_grad()
    def values(self, context: Floats) -> NDArray[Any]:
        """Served values (M, w) of all rows with this context (M, F)."""
        logits = np.empty((len(context), self._task.width), dtype=np.float32)
        for user, query, items, real, rows in self._pieces:
            told = torch.zeros(*real.shape, context.shape[1])
            told[real] = torch.from_numpy(context[rows])
            found = self._network.heads(user, query, self._vectors[items], told)[self._task.name]
            logits[rows] = found[real].numpy()
        return served(self._network, self._task.name, logits)


def permute(
    network: Network, dataset: Dataset, represented: Represented, progress: Progress, *,
    limit: int = LIMIT, seeds: int = SEEDS,
) -> Importance:  # fmt: skip
    """Permute one feature after the other, on at most `limit` requests of the validation part.

    ConfigError if no task reads the features, DataError if the metric is undefined.
    """
    task, part = subject(dataset), _sample(dataset, limit)
    rerun, groups = Rerun(network, part, represented, task), _groups(part)
    found = _judged(part, task, rerun.values(part.context))
    metric = _metric(part, task, found)
    if np.isnan(found[metric]):
        raise DataError(f"{metric} of {task.name} is undefined on the {PART} part; make split.{PART} larger")
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    bar = progress.add_task("permute features", total=(len(groups) + 1) * seeds)

    def worth(name: str, chosen: Mapping[str, Ints]) -> Worth:
        drops = []
        for seed in range(seeds):
            values = rerun.values(permuted(part, chosen, seed))
            drops.append(float(sign * (found[metric] - _judged(part, task, values)[metric])))
            progress.advance(bar)
        columns = np.concatenate(list(chosen.values()))
        among = "requests" if shared(part, columns) else "candidates"
        spread = float(np.std(drops, ddof=1)) if seeds > 1 else 0.0
        return Worth(name, len(columns), among, tuple(drops), float(np.mean(drops)), spread)

    features = [worth(name, {name: columns}) for name, columns in groups.items()]
    return Importance(
        task=task.name,
        metric=metric,
        value=float(found[metric]),
        requests=len(part.requests),
        rows=len(part.rows),
        features=tuple(sorted(features, key=lambda feature: -feature.mean)),
        together=worth("together", groups),
    )


def subject(dataset: Dataset) -> Task:
    """The task that is explained: of those that read the context the main binary one, else the first."""
    reading = [task for task in dataset.tasks if task.inputs == "pair"]
    if not reading:
        raise ConfigError(
            'tasks: none has inputs = "pair", so none reads the context features; nothing to explain'
        )
    return min(reading, key=lambda task: (task.type != "binary", not task.main))


def permuted(dataset: Dataset, groups: Mapping[str, Ints], seed: int) -> Floats:
    """The context (M, F) with the columns of these groups permuted."""
    requests, context = dataset.requests, dataset.context.copy()
    generator = np.random.default_rng(seed)
    lists = requests.starts[generator.permutation(len(requests))][requests.owners]
    rows = generator.permutation(len(context))
    for columns in groups.values():
        source = lists if shared(dataset, columns) else rows
        context[:, columns] = dataset.context[source[:, None], columns]
    return context


def shared(dataset: Dataset, columns: Ints) -> bool:
    """Whether the columns are the same for all of a list, in every list."""
    values = dataset.context[:, columns]
    return bool((values == values[dataset.requests.starts[dataset.requests.owners]]).all())


def _sample(dataset: Dataset, limit: int) -> Dataset:
    """At most so many requests of the part, drawn at random, with their context."""
    numbers = dataset.requests.of(PART)
    if len(numbers) > limit:
        numbers = np.sort(np.random.default_rng(0).choice(numbers, limit, replace=False))
    rows = [np.arange(*dataset.requests.starts[number : number + 2]) for number in numbers]
    return replace(dataset.cut(numbers, rows), context=dataset.context[np.concatenate(rows)])


def _groups(dataset: Dataset) -> dict[str, Ints]:
    """Columns of each feature and its `list:` form together."""
    groups: dict[str, list[int]] = {}
    for place, written in enumerate(FeatureSet(dataset.features, dataset.clock).columns):
        groups.setdefault(names.parse(written).plain, []).append(place)
    return {name: np.array(columns, dtype=np.int64) for name, columns in groups.items()}


def _judged(dataset: Dataset, task: Task, values: NDArray[Any]) -> dict[str, float]:
    labels = dataset.labels[task.name]
    found = score(task, labels, values, dataset.requests.owners)
    if dataset.config.tasks[task.name].transform == "log1p":
        found |= logarithmic(task, labels, values)
    return found


def _metric(dataset: Dataset, task: Task, found: Mapping[str, float]) -> str:
    """Per-impression AUC; where there are no impressions what training was decided by, else the headline."""
    name, _, kind = dataset.config.training.metric.partition(":")
    decided = (kind or "auc") if name == task.name else ""
    return decided if "impression_auc" not in found and decided in found else headline(task, found)
