"""Tables to arrays: everything numbered and ordered once, nothing computed from the future."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_store.clock import Clock
from model_store.features import FeatureSet
from model_store.items import Attribute
from model_store.words import Wording
from training import replay
from training.chance import hidden, own, parted
from training.config import Config
from training.context import Replayed, context
from training.dataset import SPLITS, TRAIN, Dataset, Histories, Requests
from training.datasets.tables import Tables
from training.declare import asked, declared
from training.errors import DataError
from training.labels import alone_labels, conditioned, interests, online_labels, task_list
from training.negatives import beside
from training.replay import Lists, Log
from training.split import split_requests

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def build(config: Config, tables: Tables) -> Dataset:
    """Number everything, order it, look up histories and compute context.

    Raises DataError for an empty split or a task without labels to learn from.
    """
    numbers = _Numbers(tables)
    chance = config.split.by == "random"
    events = parted(tables.events, config.split) if chance else tables.events
    shown = conditioned(config, _requests(events, tables.items, config))
    rows = numbers.items(shown["item"])
    known = events.filter(pl.col("part") == TRAIN) if chance else events
    histories = _histories(known, config, numbers)
    requests = _bounds(shown, histories, config, numbers)
    if chance:
        histories, requests = hidden(requests, rows, histories, config.history.limit)
    _check_splits(requests)
    tasks = task_list(config, tables, shown)
    plain = FeatureSet(asked(config), Clock("UTC"))
    log = replay.read(known, numbers.items(known["item"]), plain.layout)
    features = declared(config, _learned(log, requests), shown.filter(_train(requests)), tables.items)
    dataset = Dataset(
        config=config,
        tasks=tasks,
        texts=numbers.texts,
        item_ids=tuple(tables.items["item"]),
        published=_number(tables.items["published"]),
        attributes={name: _attribute(tables.items[f"attribute:{name}"]) for name in config.items.attributes},
        user_ids=tuple(numbers.users),
        profiles=numbers.profiles(),
        records=_records(config, tables),
        histories=histories,
        requests=requests,
        rows=rows,
        features=features,
        numbers={name: _number(tables.items[f"number:{name}"]) for name in plain.numbers},
        words={column: _places(shown, column, words) for column, words in features.words.items()},
        wording=Wording.of(tables.items["text"].to_list()) if plain.worded else None,
        log=log,
        own=own(shown, plain.layout, float(requests.times[0])) if chance else None,
        lists=_lists(tables.events, numbers) if plain.shown else None,
        context=np.zeros((0, 0), dtype=np.float32),
        labels=online_labels(config, tasks, shown),
        interests=interests(config, tasks, tables, shown),
        alone=alone_labels(config, tasks, tables, shown, requests.splits[requests.owners], numbers.text),
    )
    return replace(
        dataset, context=context(dataset, Replayed(log, dataset.lists, plain.layout, len(tables.items)))
    )


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


def _requests(events: pl.DataFrame, items: pl.DataFrame, config: Config) -> pl.DataFrame:
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
        rows = beside(rows, items, config)
    return rows.with_columns(request=(pl.col("key").rle_id()).cast(pl.Int64))


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
    kept = [name for name in ("user", "query", "shown_at", "part") if name in shown.columns]
    first = shown.group_by("request", maintain_order=True).agg(
        *(pl.col(name).first() for name in kept), pl.len().alias("size")
    )
    users = numbers.user(first["user"])
    times = first["shown_at"].to_numpy().astype(np.float64)
    return Requests(
        users=users,
        queries=numbers.text(first["query"]),
        times=times,
        starts=np.concatenate([[0], np.cumsum(first["size"].to_numpy())]).astype(np.int64),
        splits=_splits(config, times, first),
        history=histories.before(users, times, config.history.limit),
    )


def _splits(config: Config, times: Floats, first: pl.DataFrame) -> Ints:
    if config.split.by == "random":
        return first["part"].to_numpy().astype(np.int64)
    return split_requests(config.split, times, first["query"])


def _records(config: Config, tables: Tables) -> dict[str, dict[str, Any]]:
    """Each user's profile columns, as the service takes them."""
    if config.users is None or tables.users is None:
        return {}
    fields = tables.users.select("user", *(pl.col(f"field:{name}").alias(name) for name in config.users.text))
    return {record.pop("user"): record for record in fields.to_dicts()}


def _check_splits(requests: Requests) -> None:
    for name in SPLITS:
        if not len(requests.of(name)):
            raise DataError(
                f"the {name} split is empty; change split.validation and split.test, or the *_from dates"
            )


def _learned(log: Log, requests: Requests) -> Log:
    """The log of the training part: all before the first request that is held out."""
    held = requests.times[requests.splits > TRAIN].min()
    return log.until(held) if held > requests.times[requests.splits == TRAIN].max() else log


def _train(requests: Requests) -> pl.Series:
    return pl.Series(requests.splits[requests.owners] <= TRAIN)


def _number(column: pl.Series) -> Floats:
    return column.fill_null(np.nan).to_numpy().astype(np.float64)


def _attribute(column: pl.Series) -> Attribute:
    return Attribute.of(column.fill_null([]).to_list())


def _places(shown: pl.DataFrame, column: str, words: tuple[str, ...]) -> Ints:
    """Of each request, the place of its word among the known ones: that of its first row which has one."""
    said = shown.group_by("request", maintain_order=True).agg(
        pl.col(f"context:{column}").drop_nulls().first()
    )
    places = {word: place for place, word in enumerate(words)}
    return np.array([places.get(word, -1) for word in said[f"context:{column}"]], dtype=np.int64)


def _lists(events: pl.DataFrame, numbers: "_Numbers") -> Lists:
    users, items = numbers.user(events["user"]), numbers.items(events["item"])
    return Lists.read(events, users, items, len(numbers.users))
