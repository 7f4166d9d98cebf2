"""The manifest of a bundle: everything that both sides must agree on, as frozen values.

It is written last, as `manifest.json`, and names every other file with its size and sha256.
"""

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

FORMAT = 3

TaskType = Literal["binary", "multiclass", "multilabel", "regression", "quantile"]
TaskInputs = Literal["pair", "user_item", "query_item", "item", "text", "user"]
ClockKind = Literal["hour", "daypart", "weekday"]
Precision = Literal["fp32", "int8", "fp16"]


class Frozen(BaseModel):
    """A value: immutable, and strict about names that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Task(Frozen):
    """One head: what it predicts, and what it may see.

    `pair` sees user, query, item and context; `user_item` user and item; `query_item` query and item;
    `item` and `text` see one text alone and run inside the text encoder's graph; `user` sees the user's vector
    alone and says what of the classes is wanted next. A task with a `clock`
    predicts the local time bucket of an event and is served as the probability of the bucket of now.
    `low` and `high` are the range that fusion maps to 0..1. `quantiles`, ascending, are those of a number.
    A number that is `given` a binary task is that of rows where this happened: fusion weighs chance x number.
    """

    name: str
    type: TaskType
    inputs: TaskInputs = "pair"
    classes: tuple[str, ...] = ()
    quantiles: tuple[float, ...] = ()
    clock: ClockKind | None = None
    given: str | None = None
    low: float = 0.0
    high: float = 1.0
    main: bool = False

    @property
    def width(self) -> int:
        """Number of columns of the head's output."""
        return max(1, len(self.classes), len(self.quantiles))

    @property
    def levels(self) -> tuple[str, ...]:
        """Names of the quantiles as they are served, such as `0.5`."""
        return tuple(map(str, self.quantiles))

    @property
    def online(self) -> bool:
        """Whether the head runs per request, in `heads.onnx`."""
        return self.inputs in ("pair", "user_item", "query_item")

    @property
    def scalar(self) -> bool:
        """Whether the served value is one number, which fusion can weigh."""
        return self.type in ("binary", "regression") or self.clock is not None


class TextField(Frozen):
    """One column of the item's text; `label` is put before the value, as in `brand: Acme`."""

    name: str
    label: str = ""


class FileEntry(Frozen):
    """Size and hash of one file of the bundle."""

    bytes: int
    sha256: str


class FusionDefault(Frozen):
    """How task scores become one score when the request does not say."""

    method: Literal["weighted_sum", "weighted_product"] = "weighted_sum"
    weights: dict[str, float] = Field(default_factory=dict)


class Retrieval(Frozen):
    """Candidates are fetched by `(user_weight * u + query_weight * q) · item`."""

    user_weight: float = 1.0
    query_weight: float = 1.0


class Index(Frozen):
    """The catalogue in cells, see index.py: how many, how far a search reaches, and what share it finds."""

    cells: int = Field(ge=1)
    reach: float = Field(gt=0.0)
    recall: float


class Scale(Frozen):
    """How a number becomes a feature: its logarithm if `log`, then how many spreads from the mean."""

    mean: float = 0.0
    std: float = Field(default=1.0, gt=0.0)
    log: bool = False


class Features(Frozen):
    """The declared context features, in order, and what training measured for them.

    rates: the usual value of each rate; scales: of `number:` and `latest:` features; words: the known words of
    each column of the request; values: of each attribute of an `is:` feature; grades: what an event says of
    its item, as a number, and what it says on average; candidates: the longest list that training saw.
    """

    use: tuple[str, ...]
    windows: tuple[str, ...] = ("1h", "6h", "24h", "7d")
    rates: dict[str, Annotated[float, Field(gt=0.0)]] = Field(default_factory=dict)
    scales: dict[str, Scale] = Field(default_factory=dict)
    words: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    values: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    grades: dict[str, float] = Field(default_factory=dict)
    usual_grade: float = 0.0
    candidates: int = 100


class Manifest(Frozen):
    """See docs/bundle.md for each field. `statistics_until`: unix seconds, the end of the log behind the priors."""

    format: int = FORMAT
    name: str
    version: int = 0
    created: str
    code_version: str
    fingerprint: str = ""
    encoder: str
    dimension: int
    max_tokens: int
    opset: int
    precision: Precision
    events: tuple[str, ...]
    history_limit: int
    timezone: str
    item_text: tuple[TextField, ...]
    profile_text: tuple[TextField, ...] = ()
    features: Features
    statistics_until: float = 0.0
    attributes: tuple[str, ...] = ()
    tasks: tuple[Task, ...]
    fusion: FusionDefault
    retrieval: Retrieval
    index: Index | None = None
    golden_tolerance: float = 1e-3
    items: int = 0
    data: dict[str, Any] = Field(default_factory=dict)
    metrics: dict[str, Any] = Field(default_factory=dict)
    parity: dict[str, float] = Field(default_factory=dict)
    gate: dict[str, Any] = Field(default_factory=dict)
    histograms: dict[str, dict[str, list[float]]] = Field(default_factory=dict)
    files: dict[str, FileEntry] = Field(default_factory=dict)

    def task(self, name: str) -> Task:
        """The task of that name; KeyError if there is none."""
        for task in self.tasks:
            if task.name == name:
                return task
        raise KeyError(name)

    @property
    def online_tasks(self) -> tuple[Task, ...]:
        """The tasks of `heads.onnx`, in the order of its outputs."""
        return tuple(task for task in self.tasks if task.online)

    @property
    def text_tasks(self) -> tuple[Task, ...]:
        """The tasks inside the text encoder's graph, in the order of its outputs after `vector`."""
        return tuple(task for task in self.tasks if task.inputs in ("item", "text"))

    @property
    def user_tasks(self) -> tuple[Task, ...]:
        """The tasks of `user_heads.onnx`, in the order of its outputs."""
        return tuple(task for task in self.tasks if task.inputs == "user")

    @property
    def answered(self) -> tuple[Task, ...]:
        """The tasks that say something of an item: all but those of users and of other texts, such as reviews."""
        return tuple(task for task in self.tasks if task.inputs not in ("text", "user"))

    @property
    def text_encoder_file(self) -> str:
        """The text encoder that is served."""
        return text_encoder(self.precision)


def text_encoder(precision: Precision) -> str:
    """The file of a text encoder."""
    return "text_encoder.onnx" if precision == "fp32" else f"text_encoder.{precision}.onnx"


def fingerprint(manifest: Manifest) -> str:
    """Hash of all that decides a vector or a score; part of every cache key.

    Two bundles with the same fingerprint may share cached vectors; nothing else may.
    """
    decisive = {
        "files": {name: entry.sha256 for name, entry in sorted(manifest.files.items())},
        "rest": manifest.model_dump(
            mode="json",
            include={
                "dimension", "max_tokens", "precision", "events", "history_limit", "timezone",
                "item_text", "profile_text", "features", "statistics_until", "attributes", "tasks",
            },
        ),
    }  # fmt: skip
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()
