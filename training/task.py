"""The table of one task in a configuration file: what is learned, from which column, and what cannot be."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from model_store.manifest import ClockKind, TaskInputs, TaskType
from training.sections import Section, Share

LOSSES = {  # the type that a loss is for
    "mae": "regression", "huber": "regression", "ordinal": "regression", "focal": "binary",
}  # fmt: skip
ALONE = ("item", "text", "user")  # inputs of tasks that score no item for anybody
TEACHERS = ("binary", "multiclass", "regression")  # whose logits mean the same in every network


class TaskConfig(Section):
    """One head. `label` is a column of events (of items for `inputs = "item"`).

    With `given` it is the chance of this after that, or the number that this has after that: a binary task of that
    name is the first factor, of what is compared with labels or, for a number, of what fusion weighs. With
    `inputs = "user"`, `label` is an attribute of items, and it tells which items are wanted. `taught`: the share of
    the loss that is by what a network says that learned this task alone.
    """

    type: TaskType
    label: str
    inputs: TaskInputs = "pair"
    text: str | None = None
    clock: ClockKind | None = None
    transform: Literal["none", "log1p"] = "none"
    quantiles: tuple[Annotated[float, Field(gt=0.0, lt=1.0)], ...] = Field((0.1, 0.5, 0.9), min_length=1)
    loss: Literal["default", "mae", "huber", "ordinal", "focal"] = "default"
    grades: tuple[float, ...] = ()
    given: str | None = None
    ranking: bool = True
    weight: float = Field(default=1.0, ge=0.0)
    taught: Share = 0.0
    main: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.clock and (self.type != "multiclass" or self.inputs not in ("user_item", "query_item")):
            raise ValueError(
                'a clock task needs type = "multiclass" and inputs = "user_item" or "query_item"'
            )
        if (self.inputs == "text") != (self.text is not None):
            raise ValueError('inputs = "text" and text = "<column>" go together')
        if self.transform != "none" and self.type not in ("regression", "quantile"):
            raise ValueError("transform is for regression and quantile tasks only")
        if self.type == "multilabel" and self.inputs not in ALONE:
            raise ValueError('a multilabel task needs inputs = "item", "text" or "user"')
        if self.inputs == "user" and (self.type != "multilabel" or not self.given):
            raise ValueError(
                'inputs = "user" needs type = "multilabel", and given = the task that tells what is wanted'
            )
        if self.loss != "default" and self.type != LOSSES[self.loss]:
            raise ValueError(f'loss = "{self.loss}" is for type = "{LOSSES[self.loss]}"')
        if (
            self.given
            and self.inputs != "user"
            and (self.type not in ("binary", "regression") or self.inputs in ALONE)
        ):
            raise ValueError(
                "given is for binary and regression tasks that score an item for a user or a query"
            )
        if self.taught and (self.inputs in ALONE or self.type not in TEACHERS or self.grades):
            some = ", ".join(TEACHERS[:-1]) + f" and {TEACHERS[-1]}"
            raise ValueError(f"taught is for {some} tasks without grades that score an item")
        self._check_grades()
        self._check_quantiles()
        return self

    def _check_grades(self) -> None:
        if (self.loss == "ordinal") != bool(self.grades):
            raise ValueError('loss = "ordinal" and grades, such as [1, 2, 3, 4, 5], go together')
        if self.grades and (len(self.grades) < 2 or list(self.grades) != sorted(set(self.grades))):
            raise ValueError("grades must be two at least and ascend, each once, as in [1, 2, 3, 4, 5]")
        if self.grades and (self.transform != "none" or self.inputs in ALONE):
            raise ValueError("grades are of an item for a user or a query, without a transform")

    def _check_quantiles(self) -> None:
        if self.type != "quantile":
            if "quantiles" in self.model_fields_set:
                raise ValueError('quantiles are for type = "quantile" only')
            return
        if self.inputs in ALONE:
            raise ValueError('a quantile task needs inputs = "pair", "user_item" or "query_item"')
        if list(self.quantiles) != sorted(set(self.quantiles)):
            raise ValueError("quantiles must ascend, each once, as in [0.1, 0.5, 0.9]")
