"""One TOML file maps columns to roles, declares the tasks and sets the model: read here into frozen values.

Unknown keys, wrong types and impossible combinations raise ConfigError, naming the key and the fix.
docs/data.md explains every key.
"""

import tomllib
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from model_store.clock import CLASSES
from model_store.features import COLUMNS, SHARE
from model_store.manifest import ClockKind, FusionDefault, TaskInputs, TaskType
from training.errors import ConfigError

Paths = Annotated[
    tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)
]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]


class Section(BaseModel):
    """A frozen table of the file, strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ItemsConfig(Section):
    """The items table. `text` columns make the item's text, in order; `labels` puts words before values."""

    path: Paths
    id: str = "item_id"
    text: tuple[str, ...] = Field(min_length=1)
    labels: dict[str, str] = {}
    attributes: tuple[str, ...] = ()
    time: str | None = None


class EventsConfig(Section):
    """The events table: one row an item shown, clicked, bought, rated ... to a user (or for a query).

    A role that the file does not name is absent: no `user` means that nobody is known.
    """

    path: Paths
    user: str | None = None
    item: str = "item_id"
    timestamp: str | None = None
    impression: str | None = None
    query: str | None = None
    negatives: int = Field(default=0, ge=0, le=100)


class UsersConfig(Section):
    """The optional users table: `text` columns make the profile that opens a user's history."""

    path: Paths
    id: str = "user_id"
    text: tuple[str, ...] = Field(min_length=1)
    labels: dict[str, str] = {}


class HistoryConfig(Section):
    """Which rows enter a user's history: event name -> `column` (truthy) or `column=value`."""

    events: dict[str, str] = {}
    limit: int = Field(default=50, ge=1, le=500)


class SplitConfig(Section):
    """How rows are held out: the newest by time, or whole queries by hash of the query."""

    by: Literal["time", "query"] = "time"
    validation: Share = 0.1
    test: Share = 0.1
    validation_from: str | None = None
    test_from: str | None = None


class TaskConfig(Section):
    """One head. `label` is a column of events (of items for `inputs = "item"`)."""

    type: TaskType
    label: str
    inputs: TaskInputs = "pair"
    text: str | None = None
    clock: ClockKind | None = None
    transform: Literal["none", "log1p"] = "none"
    loss: Literal["default", "mae", "huber"] = "default"
    ranking: bool = True
    weight: float = Field(default=1.0, ge=0.0)
    main: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.clock and (self.type != "multiclass" or self.inputs not in ("user_item", "query_item")):
            raise ValueError(
                'a clock task needs type = "multiclass" and inputs = "user_item" or "query_item"'
            )
        if (self.inputs == "text") != (self.text is not None):
            raise ValueError('inputs = "text" and text = "<column>" go together')
        if self.transform != "none" and self.type != "regression":
            raise ValueError("transform is for regression tasks only")
        if self.type == "multilabel" and self.inputs not in ("item", "text"):
            raise ValueError('a multilabel task needs inputs = "item" or "text"')
        return self


class ModelConfig(Section):
    """The network. `encoder`: `all-MiniLM-L6-v2` (packaged), a Hugging Face id, or a local folder.

    `item_ids` adds a learned vector to each known item's text vector: for catalogues that change slowly.
    """

    encoder: str = "all-MiniLM-L6-v2"
    freeze: str = Field(default="all", pattern=r"^(all|none|last:[1-9]\d*)$")
    pooling: Literal["mean", "attention"] = "mean"
    max_tokens: int = Field(default=64, ge=8, le=512)
    dimension: int = Field(default=128, ge=8, le=1024)
    sharing: Literal["shared_bottom", "mmoe"] = "mmoe"
    experts: int = Field(default=4, ge=1, le=32)
    hidden: int = Field(default=64, ge=8, le=2048)
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    item_ids: bool = False


class FeaturesConfig(Section):
    """Context features of the heads; model_store/features.py defines each."""

    use: tuple[str, ...] = ("hour", "weekday", "item_age", "since_last", "history_size")
    timezone: str = "UTC"


class TrainingConfig(Section):
    """The optimiser and when it stops. `metric` is `<task>:<metric>` or empty for the sum of the losses."""

    epochs: int = Field(default=6, ge=1)
    batch: int = Field(default=64, ge=1)
    lr_heads: float = Field(default=2e-3, gt=0.0)
    lr_encoder: float = Field(default=2e-5, gt=0.0)
    weight_decay: float = Field(default=0.05, ge=0.0)
    warmup: Share = 0.1
    patience: int = Field(default=2, ge=1)
    metric: str = ""
    seed: int = 7
    bad_rows: Share = 0.01


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
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    fusion: FusionDefault = FusionDefault()

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        _check_features(self)
        for name, task in self.tasks.items():
            _check_task(self, name, task)
        online = {name: task for name, task in self.tasks.items() if task.inputs not in ("item", "text")}
        scored = [
            name for name, task in online.items() if task.clock or task.type in ("binary", "regression")
        ]
        if not scored:
            raise ValueError(
                "tasks: at least one must score a user or query with an item by one number: binary, regression, clock"
            )
        for name in self.fusion.weights:
            if name not in scored:
                raise ValueError(f"fusion.weights.{name}: no such task; there are: {', '.join(scored)}")
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


def _check_features(config: Config) -> None:
    for name in config.features.use:
        if name.startswith(SHARE):
            attribute = name.removeprefix(SHARE)
            if attribute not in config.items.attributes:
                raise ValueError(f"features.use: {name}: {attribute!r} is not in items.attributes")
        elif name not in COLUMNS:
            raise ValueError(
                f"features.use: unknown {name!r}; there are {', '.join(COLUMNS)}, share:<attribute>"
            )
    if not config.features.use:
        raise ValueError("features.use: at least one, for example history_size")
    try:
        ZoneInfo(config.features.timezone)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"features.timezone: unknown zone {config.features.timezone!r}") from error


def _check_split(config: Config) -> None:
    split = config.split
    if split.by == "query" and not config.events.query:
        raise ValueError('split.by = "query" needs events.query')
    if split.by == "time" and not config.events.timestamp:
        raise ValueError('split.by = "time" needs events.timestamp; use split.by = "query"')
    if split.validation + split.test >= 1.0:
        raise ValueError("split: validation and test leave nothing to train on; keep their sum below 1")
    if split.by == "query" and (split.validation_from or split.test_from):
        raise ValueError('split.validation_from and test_from are dates; they need split.by = "time"')
    begins = [_date(key, written) for key, written in split if key.endswith("_from") and written]
    if begins != sorted(set(begins)):
        raise ValueError("split.validation_from must be before split.test_from")


def _date(key: str, written: str) -> datetime:
    try:
        date = datetime.fromisoformat(written)
    except ValueError as error:
        raise ValueError(f"split.{key}: {written!r} is no ISO 8601 time like 2026-11-22T08:00:00Z") from error
    if date.tzinfo is None:
        raise ValueError(f"split.{key}: {written!r} has no offset; add Z or one like +01:00")
    return date


def _check_task(config: Config, name: str, task: TaskConfig) -> None:
    if not name.isidentifier() or name in ("vector", "user", "query", "items", "context"):
        raise ValueError(f"tasks.{name}: not a usable name; use letters, digits and _")
    if task.inputs == "item" and task.label in config.items.text:
        raise ValueError(
            f"tasks.{name}: predicts items column {task.label!r}, which items.text shows to the model"
        )
    if task.inputs == "query_item" and not config.events.query:
        raise ValueError(f'tasks.{name}: inputs = "query_item" needs events.query')
    if task.inputs == "user_item" and not config.events.user:
        raise ValueError(f'tasks.{name}: inputs = "user_item" needs events.user')
    if task.inputs == "pair" and not (config.events.user or config.events.query):
        raise ValueError(f'tasks.{name}: inputs = "pair" needs events.user or events.query')
    if task.clock and task.label != config.events.timestamp:
        raise ValueError(f"tasks.{name}: a clock task's label is the timestamp column")


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


def classes(task: TaskConfig) -> tuple[str, ...]:
    """The classes that a clock task has by definition; empty for others, whose data tell."""
    return CLASSES[task.clock] if task.clock else ()
