"""Tables to arrays: requests with their candidates, histories strictly before, context, labels, splits.

Texts are numbered once: the items' first, by row, then queries, profiles and the texts of events.
A request is one impression, or one event that belongs to none; its candidates lie side by side in `rows`.
"""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_store.clock import Clock
from model_store.features import FeatureSet, Moment, profile, shares
from model_store.items import Attribute
from model_store.manifest import Task
from training.config import Config
from training.datasets.tables import Tables
from training.errors import DataError
from training.labels import Labels, alone_labels, online_labels, task_list
from training.split import split_requests

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TRAIN, VALIDATION, TEST = 0, 1, 2
SPLITS = {"train": TRAIN, "validation": VALIDATION, "test": TEST}


@dataclass(frozen=True)
class Histories:
    """All users' events, by user and then time: items (E,), events (E,), times (E,), starts (U + 1,)."""

    items: Ints
    events: Ints
    times: Floats
    starts: Ints

    def before(self, users: Ints, times: Floats, limit: int) -> Ints:
        """Bounds (R, 2) of the newest `limit` events strictly before each time; empty for user -1."""
        owners = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        told = np.repeat([0, 1], [len(users), len(owners)])  # of two at the same time, the request is first
        order = np.lexsort((told, np.concatenate([times, self.times]), np.concatenate([users, owners])))
        stops = np.empty(len(order), dtype=np.int64)
        stops[order] = np.cumsum(told[order])
        stops = stops[: len(users)]
        starts = np.maximum(self.starts[np.maximum(users, 0)], stops - limit)
        bounds = np.stack([np.minimum(starts, stops), stops], axis=1)
        bounds[users < 0] = 0
        return bounds.astype(np.int64)


@dataclass(frozen=True)
class Requests:
    """R requests: users, queries (text number, -1 for none), times, candidates `starts[r]:starts[r + 1]`."""

    users: Ints
    queries: Ints
    times: Floats
    starts: Ints
    splits: Ints
    history: Ints  # (R, 2) bounds in Histories

    def __len__(self) -> int:
        return len(self.users)

    @cached_property
    def owners(self) -> Ints:
        """Request number of every candidate row."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    def of(self, split: str) -> Ints:
        """Numbers of the requests of a split."""
        return np.flatnonzero(self.splits == SPLITS[split])


@dataclass(frozen=True)
class Dataset:
    """Everything that training, evaluation and export read; nothing is computed from the future."""

    config: Config
    tasks: tuple[Task, ...]
    texts: list[str]
    item_ids: tuple[str, ...]
    published: Floats
    attributes: dict[str, Attribute]
    user_ids: tuple[str, ...]
    profiles: Ints  # (U,) text number, -1 for none
    records: dict[str, dict[str, Any]]  # user -> the columns that make the profile
    histories: Histories
    requests: Requests
    rows: Ints  # (M,) item of every candidate
    context: NDArray[np.float32]  # (M, F)
    labels: dict[str, NDArray[np.generic]]  # online tasks: (M,), NaN or -1 where missing
    alone: dict[str, Labels] = field(default_factory=dict)  # item and text tasks

    @property
    def clock(self) -> Clock:
        """The users' local time."""
        return Clock(self.config.features.timezone)

    def select(self, split: str) -> Ints:
        """Candidate rows of a split."""
        return np.flatnonzero(self.requests.splits[self.requests.owners] == SPLITS[split])


def build(config: Config, tables: Tables) -> Dataset:
    """Number everything, order it, look up histories and compute context.

    Raises DataError for an empty split or a task without labels to learn from.
    """
    numbers = _Numbers(tables)
    shown = _requests(tables.events, config)
    histories = _histories(tables.events, config, numbers)
    requests = _bounds(shown, histories, config, numbers)
    rows = numbers.items(shown["item"])
    tasks = task_list(config, tables, shown)
    dataset = Dataset(
        config=config,
        tasks=tasks,
        texts=numbers.texts,
        item_ids=tuple(tables.items["item"]),
        published=tables.items["published"].fill_null(np.nan).to_numpy().astype(np.float64),
        attributes={
            name: Attribute.of(tables.items[f"attribute:{name}"].fill_null([]).to_list())
            for name in config.items.attributes
        },
        user_ids=tuple(numbers.users),
        profiles=numbers.profiles(),
        records=_records(config, tables),
        histories=histories,
        requests=requests,
        rows=rows,
        context=np.zeros((0, 0), dtype=np.float32),
        labels=online_labels(config, tasks, shown),
        alone=alone_labels(config, tasks, tables, shown, requests.splits[requests.owners], numbers.text),
    )
    _check_splits(dataset)
    return _with_context(dataset)


class _Numbers:
    """Items, users and texts by number, in the order in which the tables name them."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.texts: list[str] = tables.items["text"].to_list()
        self._items = {item: number for number, item in enumerate(tables.items["item"])}
        self._texts: dict[str, int] = {}  # of queries, profiles and events: an item's number is its own
        known = tables.events["user"].drop_nulls().unique(maintain_order=True)
        self.users = {user: number for number, user in enumerate(known)}

    def items(self, column: pl.Series) -> Ints:
        return np.array([self._items[item] for item in column], dtype=np.int64)

    def user(self, column: pl.Series) -> Ints:
        return np.array([self.users.get(user, -1) for user in column], dtype=np.int64)

    def text(self, column: pl.Series) -> Ints:
        """Numbers of texts, -1 for null; new ones are added."""
        return np.array([-1 if text is None else self._number(text) for text in column], dtype=np.int64)

    def profiles(self) -> Ints:
        found = np.full(len(self.users), -1, dtype=np.int64)
        if self._tables.users is not None:
            for user, text in self._tables.users.select("user", "profile").iter_rows():
                if user in self.users and text:
                    found[self.users[user]] = self._number(text)
        return found

    def _number(self, text: str) -> int:
        if text not in self._texts:
            self._texts[text] = len(self.texts)
            self.texts.append(text)
        return self._texts[text]


def _requests(events: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Rows that some task learns from, grouped: columns `request` (0..R-1, contiguous) and `shown_at`."""
    labels = [name for name in events.columns if name.startswith(("label:", "text:"))]
    clocked = any(task.clock for task in config.tasks.values())
    useful = pl.any_horizontal(pl.col(name).is_not_null() for name in labels) if labels else pl.lit(False)
    if clocked:
        useful = useful | (pl.col("events").list.len() > 0)
    if not labels and not clocked:
        raise DataError("no task takes its label from the events table; add one with inputs = pair")
    rows = events.with_row_index("row").filter(useful)
    alone = pl.concat_str(pl.lit("row "), pl.col("row").cast(pl.String))
    shown = pl.concat_str(pl.lit("shown "), "impression", pl.lit(" to "), pl.col("user").fill_null(""))
    rows = rows.with_columns(key=pl.when(pl.col("impression").is_null()).then(alone).otherwise(shown))
    rows = rows.with_columns(shown_at=pl.col("time").min().over("key"), first=pl.col("row").min().over("key"))
    rows = rows.sort("shown_at", "first", "row", maintain_order=True)
    if config.events.negatives:
        rows = _with_negatives(rows, config)
    return rows.with_columns(request=(pl.col("key").rle_id()).cast(pl.Int64))


def _with_negatives(rows: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Beside each row without an impression, `events.negatives` items of the log at random, labelled 0."""
    generator = np.random.default_rng(config.training.seed)
    alone = rows.filter(pl.col("impression").is_null())
    copies = alone.select(pl.all().repeat_by(config.events.negatives).explode()) if len(alone) else alone
    catalogue = rows["item"].unique(maintain_order=True)
    if len(catalogue) < 2:
        raise DataError("events.negatives: the log names one item only; there is no other to draw")
    place = {item: number for number, item in enumerate(catalogue)}
    own = np.array([place[item] for item in copies["item"]], dtype=np.int64)
    others = (own + generator.integers(1, len(catalogue), len(own))) % len(catalogue)  # any but its own
    nothing = pl.lit([], dtype=pl.List(pl.String))
    copies = copies.with_columns(item=catalogue[others.tolist()], events=nothing)
    for name, task in config.tasks.items():
        column = f"label:{name}"
        if column in copies.columns:
            negative = pl.when(pl.col(column).is_not_null()).then(0.0)
            learns = task.type == "binary" and task.inputs in ("pair", "user_item")
            copies = copies.with_columns((negative if learns else pl.lit(None)).alias(column))
        if f"text:{name}" in copies.columns:
            copies = copies.with_columns(pl.lit(None, dtype=pl.String).alias(f"text:{name}"))
    both = pl.concat([rows.with_columns(drawn=0), copies.with_columns(drawn=1)], how="vertical_relaxed")
    return both.sort("shown_at", "first", "row", "drawn", maintain_order=True).drop("drawn")


def _histories(events: pl.DataFrame, config: Config, numbers: _Numbers) -> Histories:
    known = events.filter(pl.col("user").is_not_null()).select("user", "item", "time", "events")
    told = known.explode("events").filter(pl.col("events").is_not_null())
    users = numbers.user(told["user"])
    times = told["time"].to_numpy().astype(np.float64)
    kinds = {name: number for number, name in enumerate(config.history.events, start=1)}  # 0 is the profile
    order = np.lexsort((np.arange(len(users)), times, users))
    return Histories(
        items=numbers.items(told["item"])[order],
        events=np.array([kinds[name] for name in told["events"]], dtype=np.int64)[order],
        times=times[order],
        starts=np.searchsorted(users[order], np.arange(len(numbers.users) + 1)).astype(np.int64),
    )


def _bounds(shown: pl.DataFrame, histories: Histories, config: Config, numbers: _Numbers) -> Requests:
    first = shown.group_by("request", maintain_order=True).agg(
        pl.col("user").first(), pl.col("query").first(), pl.col("shown_at").first(), pl.len().alias("size")
    )
    users = numbers.user(first["user"])
    times = first["shown_at"].to_numpy().astype(np.float64)
    return Requests(
        users=users,
        queries=numbers.text(first["query"]),
        times=times,
        starts=np.concatenate([[0], np.cumsum(first["size"].to_numpy())]).astype(np.int64),
        splits=split_requests(config.split, times, first["query"]),
        history=histories.before(users, times, config.history.limit),
    )


def _records(config: Config, tables: Tables) -> dict[str, dict[str, Any]]:
    """Each user's profile columns, as the service takes them."""
    if config.users is None or tables.users is None:
        return {}
    fields = tables.users.select("user", *(pl.col(f"field:{name}").alias(name) for name in config.users.text))
    return {record.pop("user"): record for record in fields.to_dicts()}


def _check_splits(dataset: Dataset) -> None:
    for name in SPLITS:
        if not len(dataset.requests.of(name)):
            raise DataError(
                f"the {name} split is empty; change split.validation and split.test, or the *_from dates"
            )


def _with_context(dataset: Dataset) -> Dataset:
    """Context features of every candidate, as of just before its request."""
    requests, histories = dataset.requests, dataset.histories
    features = FeatureSet(dataset.config.features.use, dataset.clock)
    sizes = (requests.history[:, 1] - requests.history[:, 0]).astype(np.float64)
    last = np.full(len(requests), np.nan)
    last[sizes > 0] = histories.times[requests.history[sizes > 0, 1] - 1]
    owners = requests.owners
    moment = Moment(
        now=requests.times[owners],
        published=dataset.published[dataset.rows],
        last_event=last[owners],
        sizes=sizes[owners],
        shares={name: _shares(dataset, dataset.attributes[name]) for name in features.attributes},
    )
    return Dataset(**{**vars(dataset), "context": features.matrix(moment)})


def _shares(dataset: Dataset, attribute: Attribute) -> Floats:
    requests, histories = dataset.requests, dataset.histories
    found = np.empty(len(dataset.rows))
    for number, (start, stop) in enumerate(requests.history):
        rows = slice(requests.starts[number], requests.starts[number + 1])
        taste = profile(attribute.codes[histories.items[start:stop]], len(attribute.values))
        found[rows] = shares(taste, attribute.codes[dataset.rows[rows]])
    return found
