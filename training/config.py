"""One TOML file maps columns to roles, declares the tasks and sets the model: read here into frozen values.

Unknown keys, wrong types and impossible combinations raise ConfigError, naming the key and the fix.
docs/data.md explains every key.
"""

import tomllib
from datetime import datetime
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, ValidationError, model_validator

from model_store import names
from model_store.clock import Clock
from model_store.features import FeatureSet
from model_store.manifest import Features
from model_store.moment import VIEW
from model_store.names import Name
from training.errors import ConfigError
from training.search.section import SearchConfig
from training.sections import (
    GOALS,
    RETRIEVAL,
    EventsConfig,
    ExportConfig,
    FeaturesConfig,
    FusionConfig,
    HistoryConfig,
    ItemsConfig,
    ModelConfig,
    Paths,
    RetrievalConfig,
    Section,
    SplitConfig,
    TrainingConfig,
    UsersConfig,
)
from training.task import ALONE, TaskConfig


class Config(Section):
    """The whole file. `folder` is where it lies: paths in it are relative to that."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")
    folder: Path = Path()
    items: ItemsConfig
    events: EventsConfig
    users: UsersConfig | None = None
    history: HistoryConfig = HistoryConfig()
    split: SplitConfig = SplitConfig()
    features: FeaturesConfig = FeaturesConfig()
    tasks: dict[str, TaskConfig] = Field(min_length=1)
    retrieval: RetrievalConfig | None = None
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    export: ExportConfig = ExportConfig()
    fusion: FusionConfig = FusionConfig()
    search: SearchConfig | None = None

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        _check_features(self)
        for name, task in self.tasks.items():
            _check_task(self, name, task)
        online = {name: task for name, task in self.tasks.items() if task.inputs not in ALONE}
        scored = [
            name for name, task in online.items() if task.clock or task.type in ("binary", "regression")
        ]
        if not scored:
            raise ValueError(
                "tasks: at least one must score a user or query with an item by one number: binary, regression, clock"
            )
        _check_fusion(self, scored)
        _check_retrieval(self)
        if self.training.metric and self.training.metric.partition(":")[0] not in self.tasks:
            raise ValueError(f"training.metric: {self.training.metric!r} names no task")
        _check_split(self)
        if self.history.events and not (self.events.user and self.events.timestamp):
            raise ValueError(
                "history.events needs events.user and events.timestamp: whose, and in what order"
            )
        return self

    def paths(self, paths: Paths) -> list[Path]:
        """The files of a table, relative to the configuration's folder."""
        return [self.folder / path for path in paths]


def _check_fusion(config: Config, scored: list[str]) -> None:
    """Whether what is weighed, and what for, are tasks that can be."""
    fusion = config.fusion
    for name in fusion.weights:
        if name not in scored:
            raise ValueError(f"fusion.weights.{name}: no such task; there are: {', '.join(scored)}")
    if fusion.method == "stacking" and not fusion.goal:
        raise ValueError('fusion.method = "stacking" needs fusion.goal, such as "click:ndcg@10"')
    binary = [name for name in scored if config.tasks[name].type == "binary"]
    for written in fusion.goal:
        name, _, metric = written.partition(":")
        if name not in binary:
            some = ", ".join(binary) or "none here"
            raise ValueError(f"fusion.goal: {written!r} names no binary task that ranks; there are: {some}")
        if metric not in GOALS:
            raise ValueError(
                f"fusion.goal: {written!r}: no such metric; {name}: and one of {', '.join(GOALS)}"
            )
        if metric == "user_auc" and not config.events.user:
            raise ValueError(f"fusion.goal: {written!r} needs events.user")


def _check_retrieval(config: Config) -> None:
    if config.retrieval is None:
        return
    wanted = config.tasks.get(config.retrieval.task)
    if wanted is None or wanted.type != "binary" or wanted.inputs in ALONE:
        raise ValueError(
            f"retrieval.task: {config.retrieval.task!r} is no binary task that scores an item for a user or a query"
        )


def _check_features(config: Config) -> None:
    if not config.features.use:
        raise ValueError("features.use: at least one, for example history_size")
    try:
        ZoneInfo(config.features.timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"features.timezone: unknown zone {config.features.timezone!r}") from error
    if VIEW in config.history.events:
        raise ValueError(f"history.events.{VIEW}: means being in a list that was shown; take another name")
    try:
        declared = FeatureSet(
            Features(use=config.features.use, windows=config.features.windows, grades=config.history.grades),
            Clock("UTC"),
        )
    except ValueError as error:
        raise ValueError(f"features.use: {error}") from error
    if {"timestamp"} & set(config.events.context):
        raise ValueError("events.context: 'timestamp' is the moment of a request; rename the column")
    for event in config.history.grades.keys() - config.history.events.keys():
        raise ValueError(f"history.grades.{event}: is not in history.events")
    for name in declared.names:
        _check_feature(config, name)


def _check_feature(config: Config, name: Name) -> None:
    """Whether the tables hold what a feature reads."""
    items, events, where = config.items, config.events, f"features.use: {name.written}"
    columns = {
        "share": ("items.attributes", items.attributes),
        "taste": ("items.attributes", items.attributes),
        "is": ("items.attributes", items.attributes),
        "number": ("items.numbers", items.numbers),
        "latest": ("events.numbers", events.numbers),
        "context": ("events.context", events.context),
    }
    if name.kind in columns:
        key, known = columns[name.kind]
        if name.argument not in known:
            raise ValueError(f"{where}: {name.argument!r} is not in {key}")
    known = (*config.history.events, *([VIEW] if events.impression else []))
    if name.kind == "habit" and name.argument not in config.history.events:
        raise ValueError(f"{where}: {name.argument!r} is not in history.events")
    if name.kind in ("appeal", "mood", "taste") and not config.history.grades:
        raise ValueError(f"{where}: needs history.grades: what each event says of its item")
    for event in name.events + name.tried:
        if event not in known:
            some = ", ".join(known) or "none: name some in history.events, or events.impression"
            raise ValueError(f"{where}: {event!r} is no event; there are {some}")
    if (name.events or name.kind in ("latest", "appeal")) and not events.timestamp:
        raise ValueError(f"{where}: needs events.timestamp, to know what came before")
    if name.kind in names.MEASURES and not events.query:
        raise ValueError(f"{where}: needs events.query, whose words it compares")
    if name.kind == "shown" and not (events.user and events.impression and events.timestamp):
        raise ValueError(f"{where}: needs events.user, events.impression and events.timestamp")


def _check_split(config: Config) -> None:
    split = config.split
    if split.by == "query" and not config.events.query:
        raise ValueError('split.by = "query" needs events.query')
    if split.by == "time" and not config.events.timestamp:
        raise ValueError('split.by = "time" needs events.timestamp; use split.by = "query"')
    if split.validation + split.test >= 1.0:
        raise ValueError("split: validation and test leave nothing to train on; keep their sum below 1")
    if split.by == "random":
        _check_random(config)
    if split.by != "time" and (split.train_from or split.validation_from or split.test_from):
        raise ValueError(
            'split.train_from, validation_from and test_from are dates; they need split.by = "time"'
        )
    begins = [_date(key, written) for key, written in split if key.endswith("_from") and written]
    if begins != sorted(set(begins)):
        raise ValueError("split.train_from must be before validation_from, and that before test_from")


def _check_random(config: Config) -> None:
    """No row comes before another: what needs an order, or lists, cannot be had."""
    events, split = config.events, config.split
    if split.fold >= split.folds:
        raise ValueError(f"split.fold: counts from 0, below split.folds = {split.folds}")
    if not events.user or events.impression or events.negatives:
        raise ValueError(
            'split.by = "random" is for rows that stand alone: it needs events.user, and neither '
            "events.impression nor events.negatives"
        )
    kinds = {names.parse(written).kind for written in config.features.use}
    if ordered := kinds & {"item_age", "again", "since", "latest"}:
        raise ValueError(f'features.use: {min(ordered)} needs an order of time; use split.by = "time"')


def _date(key: str, written: str) -> datetime:
    try:
        date = datetime.fromisoformat(written)
    except ValueError as error:
        raise ValueError(f"split.{key}: {written!r} is no ISO 8601 time like 2026-11-22T08:00:00Z") from error
    if date.tzinfo is None:
        raise ValueError(f"split.{key}: {written!r} has no offset; add Z or one like +01:00")
    return date


def _check_task(config: Config, name: str, task: TaskConfig) -> None:
    if not name.isidentifier() or name in ("vector", "user", "query", "items", "context", RETRIEVAL):
        raise ValueError(f"tasks.{name}: not a usable name; use letters, digits and _")
    if task.inputs == "item" and task.label in config.items.text:
        raise ValueError(
            f"tasks.{name}: predicts items column {task.label!r}, which items.text shows to the model"
        )
    role = {"query_item": "query", "user_item": "user", "user": "user"}.get(task.inputs)
    if role and not getattr(config.events, role):
        raise ValueError(f'tasks.{name}: inputs = "{task.inputs}" needs events.{role}')
    if task.inputs == "user" and task.label not in config.items.attributes:
        raise ValueError(f"tasks.{name}: label = {task.label!r} is not in items.attributes")
    if task.inputs == "pair" and not (config.events.user or config.events.query):
        raise ValueError(f'tasks.{name}: inputs = "pair" needs events.user or events.query')
    if task.given:
        _check_given(config, name, task)
    if task.taught and config.model.audience:
        raise ValueError(
            f"tasks.{name}: taught does not go with model.audience: a teacher would know the labels that it tells of"
        )
    if task.taught and config.training.remember:
        raise ValueError(
            f"tasks.{name}: taught does not go with training.remember: one teacher a task; leave out one of them"
        )
    if task.clock and task.label != config.events.timestamp:
        raise ValueError(f"tasks.{name}: a clock task's label is the timestamp column")


def _check_given(config: Config, name: str, task: TaskConfig) -> None:
    """Whether what comes first can: a chance is multiplied inside the heads, a number only where it is weighed."""
    first = config.tasks.get(task.given or "")
    if first is None or first is task or first.type != "binary" or first.inputs in ALONE:
        raise ValueError(
            f"tasks.{name}: given = {task.given!r} is no other binary task that scores an item for a user or a query"
        )
    if task.type == "binary" and (first.inputs != task.inputs or first.given):
        raise ValueError(f"tasks.{name}: given = {task.given!r} has other inputs, or a given of its own")


def read(path: Path) -> Config:
    """Read and check a configuration file.

    Raises ConfigError naming the key, what is wrong with it and the fix.
    """
    try:
        record = tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file; docs/data.md shows what it holds") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    return parse(record, path)


def parse(record: dict[str, Any], path: Path) -> Config:
    """Check a record as read from `path`."""
    try:
        return Config.model_validate({**record, "folder": path.parent})
    except ValidationError as error:
        lines = [_sentence(detail) for detail in error.errors()]
        raise ConfigError(f"{path}: " + "; ".join(lines)) from error


def _sentence(detail: Any) -> str:
    where = ".".join(map(str, detail["loc"]))
    if detail["type"] == "extra_forbidden":
        return f"{where}: unknown key; remove it or see docs/data.md for the right name"
    message = detail["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def anywhere(config: Config) -> Config:
    """The same, on whatever this machine has: a finished run is told of where no card is, too."""
    training = config.training.model_copy(update={"device": "auto", "precision": "auto"})
    return config.model_copy(update={"training": training})
