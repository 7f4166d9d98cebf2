"""The app's files as three canonical tables; docs/data.md is the contract from the other side.

items    item · text · published (unix s, null unknown) · attribute:<name> (list) · number:<name>
         · label:<item task>
events   user · item · time (unix s) · impression · query · events (the history events that a row is)
         · context:<name> · number:<name> · label:<task> · text:<text task>
         oldest first, file order where equal
users    user · profile · field:<name> (the columns that the profile is made of)
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import polars as pl

from model_store.manifest import TextField
from model_store.text import render
from training.config import Config
from training.datasets import columns, files, roles
from training.datasets.doubts import doubts
from training.datasets.report import BadRows, Report, check_share
from training.datasets.sieve import Sieve
from training.datasets.zones import Zones
from training.errors import DataError
from training.task import TaskConfig

TIMED = {"items.time", "events.timestamp"}
KEYS = {"items.id", "users.id", "events.item", "events.timestamp"}  # every file must have them
NO_TIME = 0.0  # of every event, where the table has no timestamp


@dataclass(frozen=True)
class Tables:
    """Clean frames, as drawn above, and the report of what was kept out."""

    items: pl.DataFrame
    events: pl.DataFrame
    users: pl.DataFrame | None
    report: Report


def read(config: Config) -> Tables:
    """Read, parse and check the tables of a configuration.

    Raises DataError for a missing or unreadable file, a missing column, mixed time zones, duplicate ids,
    more bad rows than `training.bad_rows`, or a task without labels to learn from.
    """
    report = Report()
    items, report = _join(config, _Table("items", config.items.path, roles.items(config), _items), report)
    _check_unique("items", items["item"])
    fill = partial(_events, known=items["item"])
    events, report = _join(config, _Table("events", config.events.path, roles.events(config), fill), report)
    events = events.sort("time", maintain_order=True)
    users = None
    if config.users:
        users, report = _join(config, _Table("users", config.users.path, roles.users(config), _users), report)
        _check_unique("users", users["user"])
    _check_labels(config, items, events)
    _check_history(config, events)
    return Tables(items, events, users, report.doubting(doubts(config, items, events)))


@dataclass(frozen=True)
class _Table:
    """One of the three: its files, the columns that must be there by role, and what fills it from a file."""

    name: str
    paths: tuple[str, ...]
    roles: dict[str, str]
    fill: Callable[[Sieve, Config], None]


def _join(config: Config, table: _Table, report: Report) -> tuple[pl.DataFrame, Report]:
    """Sift the files of a table one by one and join what passes."""
    paths = config.paths(table.paths)
    sources = files.read_alike(paths, table.roles, KEYS)
    bad: list[BadRows] = []
    frames: list[pl.DataFrame] = []
    zones = Zones()
    for path, source in zip(paths, sources, strict=True):
        for role in TIMED & table.roles.keys():
            zones.see(source[table.roles[role]], role, path)
        sieve = Sieve(source, table.name, path)
        table.fill(sieve, config)
        frames.append(sieve.rows())
        bad += sieve.found
    read = sum(source.height for source in sources)
    check_share(table.name, read, bad, config.training.bad_rows)
    kept = pl.concat(frames, how="vertical_relaxed")
    return kept, report.with_table(table.name, read, kept.height, bad).doubting(zones.doubts())


def _items(sieve: Sieve, config: Config) -> None:
    items = config.items
    sieve.take("item", items.id, columns.names, required=True)
    sieve.put("text", text := _rendered(sieve.source, items.text, items.labels))
    sieve.reject(items.text[0], text == "", f"no text in any of {', '.join(items.text)}")
    if items.time:
        sieve.take("published", items.time, columns.times)
    else:
        sieve.put("published", pl.Series([None], dtype=pl.Float64).new_from_index(0, sieve.source.height))
    for name in items.attributes:
        sieve.take(f"attribute:{name}", name, columns.tags)
    for name in items.numbers:
        sieve.take(f"number:{name}", name, columns.numbers)
    for name, task in roles.item_tasks(config).items():
        sieve.take(f"label:{name}", task.label, _parser(task))


def _users(sieve: Sieve, config: Config) -> None:
    if config.users:
        sieve.take("user", config.users.id, columns.names, required=True)
        fields = pl.DataFrame(
            [columns.fields(sieve.source[name]) for name in dict.fromkeys(config.users.text)]
        )
        sieve.put("profile", _rendered(fields, config.users.text, config.users.labels))
        for name in fields.columns:
            sieve.put(f"field:{name}", fields[name])


def _events(sieve: Sieve, config: Config, known: pl.Series) -> None:
    named = config.events
    item = sieve.take("item", named.item, columns.names, required=True)
    sieve.reject(named.item, ~item.is_in(known.implode()).fill_null(value=True), "no such item in items")
    nothing = pl.Series([None], dtype=pl.String).new_from_index(0, sieve.source.height)
    if named.query:
        query = sieve.take("query", named.query, columns.phrases, required=config.split.by == "query")
    else:
        sieve.put("query", query := nothing)
    if named.user:
        user = sieve.take("user", named.user, columns.names)
        reason = "missing, and no query" if named.query else "missing"
        sieve.reject(named.user, user.is_null() & query.is_null(), reason)
    else:
        sieve.put("user", nothing)
    if named.timestamp:
        sieve.take("time", named.timestamp, columns.times, required=True)
    else:
        sieve.put("time", pl.Series([NO_TIME]).new_from_index(0, sieve.source.height))
    if named.impression:
        sieve.take("impression", named.impression, columns.ids)
    else:
        sieve.put("impression", nothing)
    sieve.put("events", _history_events(sieve, config))
    for name in named.context:
        sieve.take(f"context:{name}", name, columns.words)
    for name in named.numbers:
        sieve.take(f"number:{name}", name, columns.numbers)
    for name, task in roles.event_tasks(config).items():
        sieve.take(f"label:{name}", task.label, _parser(task))
        if task.text:
            sieve.take(f"text:{name}", task.text, columns.words)


def _history_events(sieve: Sieve, config: Config) -> pl.Series:
    """Names of the history events that each row is, as a list."""
    held = []
    for name, written in config.history.events.items():
        column, value = roles.condition(written)
        cells = sieve.source[column]
        if value is None:
            parsed = columns.flags(cells)
            sieve.reject(column, parsed.reasons.is_not_null(), "neither 0/1 nor true/false nor yes/no")
            holds = (parsed.values == 1.0).fill_null(value=False)
        else:
            holds = columns.equals(cells, value)
        held.append(pl.select(pl.when(holds).then(pl.lit(name)).alias(name)).to_series())
    if not held:
        return pl.Series([[]], dtype=pl.List(pl.String)).new_from_index(0, sieve.source.height)
    names = pl.concat_list(pl.all()).list.drop_nulls()
    return pl.DataFrame(held).select(names.alias("events")).to_series()


def _parser(task: TaskConfig) -> columns.Parser:
    if task.transform == "log1p":
        return columns.logarithmic
    parsers: dict[str, columns.Parser] = {
        "binary": columns.flags, "regression": columns.numbers, "quantile": columns.numbers,
        "multiclass": columns.words, "multilabel": columns.tags,
    }  # fmt: skip
    return parsers[task.type]


def _rendered(frame: pl.DataFrame, names: tuple[str, ...], labels: Mapping[str, str]) -> pl.Series:
    fields = [TextField(name=name, label=labels.get(name, "")) for name in names]
    records = frame.select(names).iter_rows(named=True)
    return pl.Series([render(fields, record) for record in records], dtype=pl.String)


def _check_unique(table: str, ids: pl.Series) -> None:
    twice = ids.filter(ids.is_duplicated()).unique(maintain_order=True)
    if len(twice):
        some = ", ".join(twice.head(3)) + (", ..." if len(twice) > 3 else "")
        raise DataError(f"{table}: {len(twice):,} ids appear more than once ({some}); keep one row of each")


def _check_labels(config: Config, items: pl.DataFrame, events: pl.DataFrame) -> None:
    for name, task in config.tasks.items():
        if task.clock or task.inputs == "user":
            continue
        labels = (items if task.inputs == "item" else events)[f"label:{name}"].drop_nulls()
        if not len(labels):
            raise DataError(f"tasks.{name}: column {task.label!r} has no value; fill it or remove the task")
        if task.type == "binary" and labels.n_unique() == 1:
            _check_both(config, name, task, positive=bool(labels[0] == 1.0))


def _check_both(config: Config, name: str, task: TaskConfig, *, positive: bool) -> None:
    """One class only is fine where negatives are drawn; an error otherwise."""
    drawable = positive and task.inputs in ("pair", "user_item") and not config.events.impression
    if drawable and config.events.negatives:
        return
    fix = "set events.negatives to draw some" if drawable else "the rows of the other class are missing"
    raise DataError(f"tasks.{name}: column {task.label!r} is always {'1' if positive else '0'}; {fix}")


def _check_history(config: Config, events: pl.DataFrame) -> None:
    seen = set(events["events"].explode().drop_nulls().unique())
    for name, written in config.history.events.items():
        if name not in seen:
            raise DataError(f"history.events.{name}: no row has {written!r}; correct it or remove the event")
