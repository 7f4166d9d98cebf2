"""The tables of a configuration file, a class each: keys, types, defaults, and what a section alone forbids."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from model_store.windows import Window

Paths = Annotated[
    tuple[str, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)
]
GOALS = ("impression_auc", "mrr", "ndcg@5", "ndcg@10", "user_auc", "auc")  # how well one score ranks
RETRIEVAL = "retrieval"  # the name of its loss among those of the tasks
RATES = {  # what other optimisers than AdamW want, where the file does not say
    "adam": {"weight_decay": 0.0},
    "rmsprop": {"lr_heads": 1e-3, "lr_encoder": 1e-5, "weight_decay": 0.0},
    "sgd": {"lr_heads": 0.1, "lr_encoder": 1e-3, "weight_decay": 0.0},
    "adafactor": {"lr_heads": 0.05, "lr_encoder": 5e-4, "weight_decay": 0.0},
}
Share = Annotated[float, Field(ge=0.0, lt=1.0)]


class Section(BaseModel):
    """A frozen table of the file, strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ItemsConfig(Section):
    """The items table. `text` columns make the item's text, in order; `labels` puts words before values.

    `numbers` are columns such as a price, for the features `number:<column>`.
    """

    path: Paths
    id: str = "item_id"
    text: tuple[str, ...] = Field(min_length=1)
    labels: dict[str, str] = {}
    attributes: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    time: str | None = None


class EventsConfig(Section):
    """The events table: one row an item shown, clicked, bought, rated ... to a user (or for a query).

    A role that the file does not name is absent: no `user` means that nobody is known. `context` are words of the
    request, such as its device; `numbers` are told of the item at that time, such as its price.
    """

    path: Paths
    user: str | None = None
    item: str = "item_id"
    timestamp: str | None = None
    impression: str | None = None
    query: str | None = None
    context: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    negatives: int = Field(default=0, ge=0, le=100)


class UsersConfig(Section):
    """The optional users table: `text` columns make the profile that opens a user's history."""

    path: Paths
    id: str = "user_id"
    text: tuple[str, ...] = Field(min_length=1)
    labels: dict[str, str] = {}


class HistoryConfig(Section):
    """Which rows enter a user's history: event name -> `column` (truthy) or `column=value`.

    `grades`: what an event says of its item as a number, such as stars, for the features that tell of grades.
    """

    events: dict[str, str] = {}
    grades: dict[str, float] = {}
    limit: int = Field(default=50, ge=1, le=500)

    @property
    def graded(self) -> dict[str, float | None]:
        """All events with their grades, in order."""
        return {event: self.grades.get(event) for event in self.events}


class SplitConfig(Section):
    """How rows are held out: the newest by time, whole queries by hash of the query, or rows at random.

    At random the test part is one `fold` of `folds`, and `seed` shuffles: chance.py says what is then known when.
    What is before `train_from` is known, and nothing is learned from it; shares are of what comes after.
    """

    by: Literal["time", "query", "random"] = "time"
    validation: Share = 0.1
    test: Share = 0.1
    train_from: str | None = None
    validation_from: str | None = None
    test_from: str | None = None
    folds: int = Field(default=5, ge=2)
    fold: int = Field(default=0, ge=0)
    seed: int = 0


class RetrievalConfig(Section):
    """An objective for the vectors by which candidates are fetched: near to what has the label of a binary task."""

    task: str
    loss: Literal["contrastive", "triplet", "cosine"] = "contrastive"
    weight: float = Field(default=1.0, gt=0.0)


class ModelConfig(Section):
    """The network. `encoder`: `all-MiniLM-L6-v2` (packaged), a Hugging Face id, or a local folder.

    `freeze` says which of its layers learn, `adapters` whether all of their weights do: training/model/adapters.py.
    `rank` is LoRA's.
    `item_ids` adds a learned vector to each known item's text vector: for catalogues that change slowly.
    `factors`: of a factorisation beside the texts. `audience`: newest events of an item that tell of it there, too.
    `experts` are those that all tasks share; with `ple` each task has `own_experts` beside them, in `levels`.
    """

    encoder: str = "all-MiniLM-L6-v2"
    freeze: str = Field(default="all", pattern=r"^(all|none|last:[1-9]\d*)$")
    adapters: Literal["none", "lora", "ia3"] = "none"
    rank: int = Field(default=8, ge=1, le=256)
    pooling: Literal["mean", "attention"] = "mean"
    max_tokens: int = Field(default=64, ge=8, le=512)
    dimension: int = Field(default=128, ge=8, le=1024)
    sharing: Literal["alone", "shared_bottom", "mmoe", "ple"] = "mmoe"
    experts: int = Field(default=4, ge=1, le=32)
    own_experts: int = Field(default=1, ge=1, le=8)
    levels: int = Field(default=1, ge=1, le=3)
    projections: bool = False
    hidden: int = Field(default=64, ge=8, le=2048)
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0)
    vector_dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    item_ids: bool = False
    factors: int = Field(default=0, ge=0, le=256)
    audience: int = Field(default=0, ge=0, le=10_000)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.audience and not self.factors:
            raise ValueError("audience adds to what is learned of items: it needs factors, such as 32")
        if self.levels > 1 and self.sharing != "ple":
            raise ValueError(f'levels = {self.levels} needs sharing = "ple", or take levels = 1')
        if self.adapters != "none" and self.freeze == "all":
            raise ValueError(
                f'adapters = "{self.adapters}" has no layers to learn in with freeze = "all"; take freeze = '
                '"last:2", or "none" for all layers'
            )
        return self

    @property
    def width(self) -> int:
        """Columns of the vectors of users and items."""
        return self.dimension + (3 * self.factors + 2 if self.factors else 0)


class FeaturesConfig(Section):
    """Context features of the heads; model_store/features.py defines each."""

    use: tuple[str, ...] = ("hour", "weekday", "item_age", "since_last", "history_size")
    windows: tuple[str, ...] = Field(default=("1h", "6h", "24h", "7d"), min_length=1)
    timezone: str = "UTC"

    @field_validator("windows")
    @classmethod
    def _are_windows(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            Window(name)
        if len(set(names)) < len(names):
            raise ValueError("name each window once")
        return names


class ExportConfig(Section):
    """What the text encoder is served in if it passes its gate: int8 is for CPUs, fp16 for GPUs."""

    precision: Literal["int8", "fp16"] = "int8"


Goal = Annotated[
    dict[str, Annotated[float, Field(gt=0.0)]],
    BeforeValidator(lambda value: {value: 1.0} if isinstance(value, str) else value),
]


class FusionConfig(Section):
    """How task scores become one score. With a `goal`, `<task>:<metric>` or several with weights, it is found.

    `method`: the weighted sum where neither it nor a goal is named; with a goal, the best of all on validation.
    """

    method: Literal["weighted_sum", "weighted_product", "stacking"] | None = None
    weights: dict[str, Annotated[float, Field(ge=0.0)]] = {}
    goal: Goal = {}


class TrainingConfig(Section):
    """The optimiser and when it stops. `metric` is `<task>:<metric>` or empty for the sum of the losses.

    `schedule` is how rates fall after the warm-up, the share `warmup` of all steps: training/optimiser.py.
    `balance` is how the tasks' losses, or their gradients, are weighed: training/balance/. `temperature` evens out
    great and small tables that train one encoder. `refit`: learn once more from training and validation together.
    `device`, `precision`: of the text encoder's steps; auto is a graphics card and bfloat16, if there. With
    `gradient_checkpointing` the encoder keeps nothing of a step but what it makes of the texts. `remember`: of a
    renewal, the share of each task's loss that is by what the earlier run says.
    """

    epochs: int = Field(default=6, ge=1)
    batch: int = Field(default=64, ge=1)
    optimizer: Literal["adamw", "adam", "rmsprop", "sgd", "adafactor"] = "adamw"
    schedule: Literal["linear", "cosine", "constant"] = "linear"
    lr_heads: float = Field(default=2e-3, gt=0.0)
    lr_encoder: float = Field(default=2e-5, gt=0.0)
    lr_adapters: float = Field(default=1e-3, gt=0.0)
    weight_decay: float = Field(default=0.05, ge=0.0)
    factor_decay: float = Field(default=0.2, ge=0.0)
    warmup: Share = 0.1
    patience: int = Field(default=2, ge=1)
    temperature: float = Field(default=1.0, ge=1.0)
    metric: str = ""
    refit: bool = False
    remember: Share = 0.0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    gradient_checkpointing: bool = False
    balance: Literal[
        "fixed", "uncertainty", "dwa", "gls", "rlw", "famo", "gradnorm",
        "pcgrad", "cagrad", "upgrad", "nash_mtl", "mgda",
    ] = "fixed"  # fmt: skip
    seed: int = 7
    bad_rows: Share = 0.01

    @model_validator(mode="before")
    @classmethod
    def _at_usual_rates(cls, given: Any) -> Any:
        return {**RATES.get(str(given.get("optimizer")), {}), **given} if isinstance(given, dict) else given
