"""Labels as arrays, and what the data say about each task: classes, ranges.

binary, regression, quantile  float64 (n,), NaN where missing
multiclass                    int64 (n,), -1 where missing
multilabel                    float64 (n, C); rows without labels are left out (they stand alone only)
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_store.clock import CLASSES, Clock
from model_store.manifest import Task
from training.config import Config
from training.datasets.tables import Tables
from training.errors import DataError
from training.task import TaskConfig

Ints = NDArray[np.int64]

NUMBERS = ("regression", "quantile")


@dataclass(frozen=True)
class Labels:
    """Labelled texts of a task that reads one text alone: texts (n,), labels (n,) or (n, C), splits (n,)."""

    texts: Ints
    labels: NDArray[np.generic]
    splits: Ints


def task_list(config: Config, tables: Tables, shown: pl.DataFrame) -> tuple[Task, ...]:
    """The manifest's tasks: classes and ranges from the labels. DataError if a task has none."""
    return tuple(_task(name, task, _column(name, task, tables, shown)) for name, task in config.tasks.items())


def conditioned(config: Config, shown: pl.DataFrame) -> pl.DataFrame:
    """Without numbers that are given what did not happen: the row tells nothing of them."""
    for name, task in config.tasks.items():
        if task.given and task.type == "regression":
            label, happened = f"label:{name}", pl.col(f"label:{task.given}").fill_null(1.0) > 0.5
            shown = shown.with_columns(pl.when(happened).then(pl.col(label)).alias(label))
    return shown


def _column(name: str, task: TaskConfig, tables: Tables, shown: pl.DataFrame) -> pl.Series:
    if task.clock:
        return pl.Series(CLASSES[task.clock])
    if task.inputs == "user":
        return wanted(task, tables, shown)["tags"]
    source = tables.items if task.inputs == "item" else shown
    return source[f"label:{name}"].drop_nulls()


def _task(name: str, task: TaskConfig, values: pl.Series) -> Task:
    if not len(values):
        raise DataError(f"tasks.{name}: column {task.label!r} has no value in a row that can be learned from")
    classes: tuple[str, ...] = ()
    low, high = 0.0, 1.0
    if task.clock:
        classes = CLASSES[task.clock]
    elif task.type == "multiclass":
        classes = tuple(sorted(values.unique()))
    elif task.type == "multilabel":
        classes = tuple(sorted(values.explode().drop_nulls().unique()))
    elif task.type in NUMBERS:
        array = values.to_numpy()
        _check_grades(name, task, array)
        low, high = (float(np.quantile(array, share)) for share in (0.01, 0.99))
    if task.type in ("multiclass", "multilabel") and len(classes) < 2:
        raise DataError(f"tasks.{name}: column {task.label!r} has one class only; there is nothing to learn")
    if task.type in NUMBERS and low == high:
        low, high = float(array.min()), float(max(array.max(), array.min() + 1.0))
    return Task(
        name=name, type=task.type, inputs=task.inputs, classes=classes, clock=task.clock,
        quantiles=task.quantiles if task.type == "quantile" else (), low=low, high=high, main=task.main,
        given=task.given if task.type == "regression" else None,
    )  # fmt: skip


def _check_grades(name: str, task: TaskConfig, labels: NDArray[np.float64]) -> None:
    """Of all rows, held out ones too: they would be judged by what cannot be served."""
    strange = np.setdiff1d(labels, task.grades) if task.grades else labels[:0]
    if len(strange):
        raise DataError(
            f"tasks.{name}.grades: {strange[0]:g} is a value of column {task.label!r} but no grade; add it, or leave "
            "such cells empty where it means that nothing was said"
        )


def wanted(task: TaskConfig, tables: Tables, shown: pl.DataFrame) -> pl.DataFrame:
    """`request` and `tags`: what the items are that known users wanted, row by row, where that is known."""
    items = tables.items.select("item", tags=pl.col(f"attribute:{task.label}"))
    chosen = shown.filter(pl.col("user").is_not_null() & (pl.col(f"label:{task.given}") > 0.5))
    told = chosen.join(items, on="item", how="left", maintain_order="left")
    return told.filter(pl.col("tags").list.len() > 0).select("request", "tags")


def interests(
    config: Config, tasks: tuple[Task, ...], tables: Tables, shown: pl.DataFrame
) -> dict[str, NDArray[np.float64]]:
    """Of each task of users, (R, C): 1 for the tags of what is wanted in a request, NaN where nothing is."""
    count, found = int(shown["request"].max()) + 1, {}  # type: ignore[arg-type]
    for task in tasks:
        if task.inputs == "user":
            rows = wanted(config.tasks[task.name], tables, shown)
            table, requests = np.full((count, task.width), np.nan), rows["request"].to_numpy()
            table[requests] = 0.0
            np.maximum.at(table, requests, encode(task, rows["tags"]))
            found[task.name] = table
    return found


def online_labels(
    config: Config, tasks: tuple[Task, ...], shown: pl.DataFrame
) -> dict[str, NDArray[np.generic]]:
    """Label of every candidate row, by task."""
    clock = Clock(config.features.timezone)
    found: dict[str, NDArray[np.generic]] = {}
    for task in tasks:
        if not task.online:
            continue
        if task.clock:
            buckets = clock.bucket(shown["time"].to_numpy().astype(np.float64), task.clock)
            happened = (shown["events"].list.len().fill_null(0) > 0).to_numpy()
            found[task.name] = np.where(happened, buckets, -1)
        else:
            found[task.name] = encode(task, shown[f"label:{task.name}"])
    return found


def alone_labels(
    config: Config,
    tasks: tuple[Task, ...],
    tables: Tables,
    shown: pl.DataFrame,
    splits: Ints,
    number: Callable[[pl.Series], Ints],
) -> dict[str, Labels]:
    """Labelled texts of item and text tasks. Items are split by hash of the id, events by their request."""
    found = {}
    for task in tasks:
        if task.inputs == "item":
            column = tables.items[f"label:{task.name}"]
            kept = np.flatnonzero(column.is_not_null().to_numpy())
            parts = _item_splits(tables.items["item"], config)[kept]
            found[task.name] = Labels(kept, encode(task, column.drop_nulls()), parts)
        elif task.inputs == "text":
            label, text = shown[f"label:{task.name}"], shown[f"text:{task.name}"]
            has = (label.is_not_null() & text.is_not_null()).to_numpy()
            kept = np.flatnonzero(has)
            found[task.name] = Labels(number(text.filter(has)), encode(task, label.filter(has)), splits[kept])
    return found


def encode(task: Task, column: pl.Series) -> NDArray[np.generic]:
    """A label column as an array of the task's type."""
    if task.type == "multiclass":
        index = {value: code for code, value in enumerate(task.classes)}
        return np.array([index.get(value, -1) for value in column], dtype=np.int64)
    if task.type == "multilabel":
        index = {value: code for code, value in enumerate(task.classes)}
        table = np.zeros((len(column), len(task.classes)))
        for row, values in enumerate(column):
            table[row, [index[value] for value in values]] = 1.0
        return table
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy().astype(np.float64)


def _item_splits(items: pl.Series, config: Config) -> Ints:
    draws = np.array([int(hashlib.md5(item.encode()).hexdigest()[:8], 16) / 16**8 for item in items])  # noqa: S324
    test, validation = config.split.test or 0.1, config.split.validation or 0.1
    return np.where(draws >= 1.0 - test, 2, np.where(draws >= 1.0 - test - validation, 1, 0))
