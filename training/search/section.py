"""The table `[search]` of a configuration file: what is tried, how often, and by what it is judged."""

from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from training.sections import Section

Number = int | float


class Range(Section):
    """Numbers from `low` to `high`; whole ones if both are. `log`: by their logarithm; `step`: these only."""

    low: Number
    high: Number
    log: bool = False
    step: Number | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.low >= self.high:
            raise ValueError("low must be below high")
        if self.log and self.low <= 0:
            raise ValueError("log = true needs a low above 0")
        if self.log and self.step is not None:
            raise ValueError("log and step do not go together")
        return self

    @property
    def whole(self) -> bool:
        """Whether all of its numbers are integers."""
        return all(isinstance(each, int) for each in (self.low, self.high, self.step or 1))


Values = Range | tuple[Any, ...]


class SearchConfig(Section):
    """Trials, each a training with other values for the keys of `space`, judged on validation by `metric`.

    `folds` above 1: the mean over so many parts of all that is not test, which `group` keeps whole.
    """

    space: dict[str, Values] = Field(min_length=1)
    metric: str = ""
    method: Literal["tpe", "random", "grid"] = "tpe"
    trials: int | None = Field(default=None, ge=1)
    pruning: Literal["median", "hyperband", "none"] = "median"
    folds: int = Field(default=1, ge=1, le=20)
    group: Literal["user", "query", "item", "time"] = "user"
    seed: int = 7

    @field_validator("space", mode="before")
    @classmethod
    def _has_values(cls, space: Any) -> Any:
        return (
            {key: _values(key, given) for key, given in space.items()} if isinstance(space, dict) else space
        )

    @model_validator(mode="after")
    def _has_a_grid(self) -> Self:
        for key, values in self.space.items():
            if (
                self.method == "grid"
                and isinstance(values, Range)
                and not values.whole
                and values.step is None
            ):
                raise ValueError(f'space."{key}": a grid needs a list of values, or a step')
        return self


def _values(key: str, given: Any) -> Values:
    if isinstance(given, list | tuple) and given:
        return tuple(given)
    if not isinstance(given, dict):
        raise ValueError(f'"{key}": give a list of values, or {{ low = ..., high = ... }}')
    if any(isinstance(each, dict | list) for each in given.values()):
        raise ValueError(f'{key}: write the whole key in quotes, as in "{key}.{next(iter(given))}" = ...')
    try:
        return Range.model_validate(given)
    except ValidationError as error:
        told = "; ".join(
            f"{'.'.join(map(str, each['loc'][:1]))} {each['msg'].removeprefix('Value error, ')}".strip()
            for each in error.errors()
        )
        raise ValueError(f'"{key}": {told}') from error
