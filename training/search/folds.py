"""What trials are judged on: the validation part, or every part in turn of all that is not test.

The test part is cut off first: nothing here or after it can read one of its rows.

    user, query    whole users or queries are held out; a request without one stands alone
    item           items are: training shows none of their rows, validation theirs only
    time           windows that follow each other: training is all before, validation the next (expanding windows)

Features stay as they are: each is of the log before its request. What they measured (scales, rates) is of the
configuration's own training part.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold, TimeSeriesSplit

from training.dataset import TRAIN, VALIDATION, Dataset
from training.errors import DataError
from training.labels import Labels
from training.search.section import SearchConfig

Ints = NDArray[np.int64]


def parts(dataset: Dataset, search: SearchConfig) -> list[Dataset]:
    """The data sets of a trial, each with a training and a validation part and no other."""
    numbers = np.flatnonzero(np.isin(dataset.requests.splits, (TRAIN, VALIDATION)))
    rest = _part(dataset, numbers, _rows(dataset, numbers), dataset.requests.splits[numbers])
    rest = replace(rest, alone={name: _untested(labels) for name, labels in dataset.alone.items()})
    return [rest] if search.folds == 1 else list(_folds(rest, search))


def _folds(dataset: Dataset, search: SearchConfig) -> Iterator[Dataset]:
    if search.group == "item":
        yield from _by_item(dataset, search)
        return
    requests, count = dataset.requests, len(dataset.requests)
    if search.group == "time":
        order = np.argsort(requests.times, kind="stable")
        found = [(order[a], order[b]) for a, b in TimeSeriesSplit(search.folds).split(order[:, None])]
    else:
        groups = requests.users if search.group == "user" else requests.queries
        found = _grouped(np.where(groups < 0, -1 - np.arange(count), groups), search)
    for train, held in found:
        numbers = np.concatenate([train, held])
        splits = np.repeat([TRAIN, VALIDATION], [len(train), len(held)])
        yield _part(dataset, numbers, _rows(dataset, numbers), splits)


def _by_item(dataset: Dataset, search: SearchConfig) -> Iterator[Dataset]:
    everyone = np.arange(len(dataset.requests))
    for train, held in _grouped(dataset.rows, search):
        numbers, rows = [], []
        for kept in (train, held):
            chosen = np.zeros(len(dataset.rows), dtype=np.bool_)
            chosen[kept] = True
            left = [each[chosen[each]] for each in _rows(dataset, everyone)]
            numbers.append(np.flatnonzero([len(each) > 0 for each in left]))
            rows += [each for each in left if len(each)]
        splits = np.repeat([TRAIN, VALIDATION], [len(each) for each in numbers])
        yield _part(dataset, np.concatenate(numbers), rows, splits)


def _grouped(groups: Ints, search: SearchConfig) -> list[tuple[Ints, Ints]]:
    found = len(np.unique(groups))
    if found < search.folds:
        raise DataError(
            f"search.folds = {search.folds}: there are {found} of what {search.group!r} keeps whole; take fewer"
        )
    return list(GroupKFold(search.folds).split(groups[:, None], groups=groups))  # of about equal size


def _rows(dataset: Dataset, numbers: Ints) -> list[Ints]:
    starts = dataset.requests.starts
    return [np.arange(starts[number], starts[number + 1]) for number in numbers.tolist()]


def _part(dataset: Dataset, numbers: Ints, rows: Sequence[Ints], splits: Ints) -> Dataset:
    cut = dataset.cut(numbers, rows)
    return replace(
        cut,
        context=dataset.context[np.concatenate(rows)],
        requests=replace(cut.requests, splits=splits.astype(np.int64)),
    )


def _untested(labels: Labels) -> Labels:
    kept = np.isin(labels.splits, (TRAIN, VALIDATION))
    return Labels(labels.texts[kept], labels.labels[kept], labels.splits[kept])
