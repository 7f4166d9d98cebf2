"""What every model must beat, learned from nothing or from counting the training part alone.

binary       random · popularity (positives in training) · newest · category frequency in the history
regression   the mean · the item's, the user's and each attribute's mean, shrunk towards it (5 ratings' worth);
             of logarithms where the task is learned on them
quantile     the quantiles of training · those around the item's and the user's mean, by how training missed it
multiclass   the shares of the classes · multilabel: the shares of the labels
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from model_store.features import FeatureSet
from model_store.manifest import Task
from training.dataset import SPLITS, Dataset
from training.evaluate import impressions, logarithmic, score
from training.predict import known

Array = NDArray[Any]
SHRINK = 5.0


def baselines(dataset: Dataset, split: str) -> dict[str, dict[str, dict[str, float]]]:
    """method -> task -> metrics, on one split."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for task in dataset.tasks:
        for method, metrics in _task(dataset, task, split).items():
            found.setdefault(method, {})[task.name] = metrics
    return found


def _task(dataset: Dataset, task: Task, split: str) -> dict[str, dict[str, float]]:
    if task.inputs == "user":
        return _interests(dataset, task, split)
    if not task.online:
        return _alone(dataset, task, split)
    train, test = dataset.select("train"), dataset.select(split)
    labels: Array = dataset.labels[task.name]
    if task.type == "binary":
        return _binary(dataset, task, train, test)
    if task.type == "multiclass":
        shares = _shares(labels[train], task.width)
        return {"class shares": score(task, labels[test], np.tile(shares, (len(test), 1)))}
    log = dataset.config.tasks[task.name].transform == "log1p"
    learned = np.log1p(labels) if log else labels
    if task.quantiles:
        guesses = _quantiles(dataset, task, learned, train, test)
    else:
        guesses = _means(dataset, learned, train, test)
    found = {}
    for method, values in guesses.items():
        served = np.expm1(values) if log else values
        found[method] = score(task, labels[test], served)
        if log:
            found[method] |= logarithmic(task, labels[test], served)
    return found


def _binary(dataset: Dataset, task: Task, train: Array, test: Array) -> dict[str, dict[str, float]]:
    labels: Array = dataset.labels[task.name]
    groups, truth = dataset.requests.owners[test], labels[test]
    has = known(truth)
    rate = np.nanmean(labels[train])
    found = {"constant": score(task, truth, np.full(len(test), rate))}
    for method, scores in _scores(dataset, labels, train, test).items():
        places = rankdata(scores) / len(scores)  # no probabilities, but in their range
        ranked = impressions(groups[has], truth[has], scores[has])
        found[method] = {"auc": score(task, truth, places)["auc"], **ranked}
    return found


def _scores(dataset: Dataset, labels: Array, train: Array, test: Array) -> dict[str, Array]:
    """Scores (m,) of the test rows by each ranking baseline that the data allow."""
    items = dataset.rows
    clicks = np.bincount(items[train], weights=np.nan_to_num(labels[train]), minlength=len(dataset.item_ids))
    found = {
        "random": np.random.default_rng(0).random(len(test)),
        "popularity": clicks[items[test]],
    }
    if not np.isnan(dataset.published).all():
        found["newest"] = np.nan_to_num(dataset.published, nan=-np.inf)[items[test]].clip(min=0.0)
    features = FeatureSet(dataset.features, dataset.clock)
    for name in features.names:
        if name.listed or name.window or "+" in name.argument:
            continue
        first = features.columns.index(name.written)
        if name.kind == "share":
            found[f"{name.argument} frequency"] = dataset.context[test, first].astype(np.float64)
        elif name.kind == "count":
            for place, window in enumerate(features.layout.windows):
                found[f"{name.argument}s in {window.name}"] = dataset.context[test, first + place].astype(
                    np.float64
                )
    return found


def _means(dataset: Dataset, labels: Array, train: Array, test: Array) -> dict[str, Array]:
    learned = train[known(labels[train])]
    mean = labels[learned].mean()
    users = dataset.requests.users[dataset.requests.owners]
    found = {"mean": np.full(len(test), mean)}
    attributes = {f"{name} mean": each.codes[dataset.rows, 0] for name, each in dataset.attributes.items()}
    for method, keys in {"item mean": dataset.rows, "user mean": users, **attributes}.items():
        if (keys < 0).all():
            continue
        size = int(keys.max()) + 1
        kept = learned[keys[learned] >= 0]
        total = np.bincount(keys[kept], weights=labels[kept] - mean, minlength=size)
        count = np.bincount(keys[kept], minlength=size)
        shrunk = np.append(total / (count + SHRINK), 0.0)  # the last one is that of key -1
        found[method] = mean + shrunk[keys[test]]
    return found


def _quantiles(dataset: Dataset, task: Task, labels: Array, train: Array, test: Array) -> dict[str, Array]:
    """Quantiles (m, K) of the test rows: each mean, and the quantiles of what it leaves of the training labels."""
    learned = train[known(labels[train])]
    found = {}
    for method, means in _means(dataset, labels, train, np.concatenate([learned, test])).items():
        left = labels[learned] - means[: len(learned)]
        name = "constant" if method == "mean" else method
        found[name] = means[len(learned) :, None] + np.quantile(left, task.quantiles)
    return found


def _interests(dataset: Dataset, task: Task, split: str) -> dict[str, dict[str, float]]:
    """What all users want."""
    labels = dataset.interests[task.name]
    train, test = labels[dataset.requests.of("train")], labels[dataset.requests.of(split)]
    return {"constant": score(task, test, np.tile(np.nanmean(train, axis=0), (len(test), 1)))}


def _alone(dataset: Dataset, task: Task, split: str) -> dict[str, dict[str, float]]:
    labels = dataset.alone[task.name]
    train, test = labels.labels[labels.splits == 0], labels.labels[labels.splits == SPLITS[split]]
    if task.type == "multiclass":
        values = np.tile(_shares(train, task.width), (len(test), 1))
        return {"class shares": score(task, test, values)}
    return {"constant": score(task, test, np.tile(train.mean(axis=0), (len(test), 1)))}


def _shares(labels: Array, classes: int) -> Array:
    counts: Array = np.bincount(labels[labels >= 0], minlength=classes) + 1.0
    return np.asarray(counts / counts.sum())
