"""What a search varies: dotted keys of the configuration file, and the values that each may take."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from copy import deepcopy
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import BaseTrial

from training.alone import teachers
from training.config import Config, parse
from training.errors import ConfigError
from training.search.section import Range, SearchConfig, Values

# What decides which rows are judged, or what does not change how they are
FIXED = ("name", "events", "split", "search", "fusion", "export", "training.metric")
COMBINATIONS = 1000  # that are all checked beforehand

Choice = str | int | float | bool


class Space:
    """The keys of a file's `[search]`, checked: every value can stand in the file."""

    def __init__(self, path: Path, config: Config) -> None:
        """Raises ConfigError that names the key, the value, and what is wrong with it."""
        if config.search is None:
            raise ConfigError(
                f"{path}: no [search]; docs/data.md shows how to say what to try, by which metric"
            )
        self.search, self._path = config.search, path
        self._record = tomllib.loads(path.read_text())
        self._record.pop("search")
        self.metric = _metric(config, config.search)
        for key, values in self.search.space.items():
            self._check(key, values)
        self._check_together()

    @property
    def size(self) -> int:
        """Number of points of the grid."""
        return prod(len(points) for points in self.grid().values())

    def grid(self) -> dict[str, list[Choice]]:
        """All values of each key, as they are suggested."""
        return {key: _points(values) for key, values in self.search.space.items()}

    def suggest(self, trial: BaseTrial) -> dict[str, Any]:
        """The values of one trial."""
        return {key: self._suggest(trial, key, values) for key, values in self.search.space.items()}

    def written(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The values that a trial's parameters stand for."""
        return {key: _meant(self.search.space[key], value) for key, value in params.items()}

    def config(self, values: Mapping[str, Any]) -> Config:
        """The configuration with these values. Raises ConfigError that tells them."""
        record = deepcopy(self._record)
        for key, value in {**values, "training.metric": self.metric}.items():
            _put(record, key, value)
        try:
            return _untaught(parse(record, self._path))
        except ConfigError as error:
            told = ", ".join(f'"{key}" = {json.dumps(value)}' for key, value in values.items())
            raise ConfigError(f"search.space: with {told}: {error}") from error

    def usual(self, config: Config) -> dict[str, Choice]:
        """The configuration's own values, as they are suggested, of the keys whose values they are among."""
        record: dict[str, Any] = config.model_dump(mode="json")
        found: dict[str, Choice] = {}
        for key, values in self.search.space.items():
            value: Any = record
            for part in key.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            if isinstance(values, Range):
                if isinstance(value, int | float) and values.low <= value <= values.high:
                    found[key] = value
            elif _label(value) in map(_label, values):
                found[key] = _label(value)
        return found

    def _suggest(self, trial: BaseTrial, key: str, values: Values) -> Any:
        if not isinstance(values, Range) or self.search.method == "grid":
            return _meant(values, trial.suggest_categorical(key, _points(values)))
        if values.whole:
            step = int(values.step or 1)
            return trial.suggest_int(key, int(values.low), int(values.high), step=step, log=values.log)
        return trial.suggest_float(key, values.low, values.high, step=values.step, log=values.log)

    def _check(self, key: str, values: Values) -> None:
        for fixed in FIXED:
            if key == fixed or key.startswith(f"{fixed}."):
                raise ConfigError(
                    f'search.space: "{key}": trials would not be judged on the same rows by the same metric, or it '
                    "does not change what they reach; leave it out"
                )
        for value in _ends(values):
            self.config({key: value})

    def _check_together(self) -> None:
        """Of all keys at once: impossible pairs are better found now than after hours."""
        ends = {key: list(_ends(values)) for key, values in self.search.space.items()}
        if prod(map(len, ends.values())) <= COMBINATIONS:
            for point in product(*ends.values()):
                self.config(dict(zip(ends, point, strict=True)))


def _metric(config: Config, search: SearchConfig) -> str:
    written = search.metric or config.training.metric
    if not written:
        some = next((name for name, task in config.tasks.items() if task.type == "binary"), "click")
        raise ConfigError(
            f'search.metric: name what decides, such as "{some}:auc"; the losses of trials differ'
        )
    name, _, kind = written.partition(":")
    task = config.tasks.get(name)
    if task is None:
        raise ConfigError(f"search.metric: {written!r} names no task; there are: {', '.join(config.tasks)}")
    if search.folds > 1 and task.inputs in ("item", "text"):
        raise ConfigError(f"search.folds: requests are parted, which {name!r} has none of; take folds = 1")
    if search.folds > 1 and config.split.by == "random":
        raise ConfigError('search.folds: not with split.by = "random", whose training rows hide each other')
    return f"{name}:{kind or 'auc'}"


def _ends(values: Values) -> Iterator[Any]:
    yield from (values.low, values.high) if isinstance(values, Range) else values


def _points(values: Values) -> list[Choice]:
    if not isinstance(values, Range):
        return [_label(value) for value in values]
    step = values.step or 1
    count = int(np.floor((values.high - values.low) / step + 1e-9)) + 1
    return [values.low + number * step for number in range(count)]


def _label(value: Any) -> Choice:
    """A value as optuna can keep it: lists and tables as JSON."""
    return value if isinstance(value, str | int | float | bool) else json.dumps(value)


def _meant(values: Values, label: Any) -> Any:
    if isinstance(values, Range):
        return label
    return next(value for value in values if _label(value) == label and type(_label(value)) is type(label))


def _put(record: dict[str, Any], key: str, value: Any) -> None:
    *parts, last = key.split(".")
    for part in parts:
        record = record.setdefault(part, {})
        if not isinstance(record, dict):
            raise ConfigError(f'search.space: "{key}": {part} is no table')
    record[last] = value


def _untaught(config: Config) -> Config:
    """The same; ConfigError if a task has a teacher, who would have to be trained anew for each trial."""
    for name in teachers(config):
        raise ConfigError(
            f"tasks.{name}.taught: trials learn from labels alone; leave it out here, and put it into what is found"
        )
    return config
