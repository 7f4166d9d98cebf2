"""Families of metrics over tallies: counted in one process, added up over all whose tallies are given.

A family has a child for each combination of its labels' values; one that a request passes often is taken
once and kept.
"""

import json
import os
import time
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, ParamSpec, TypeVar

import numpy as np
from numpy.typing import NDArray
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.utils import floatToGoString

from app.tally import SIZE, Tally, series

Labels = tuple[str, ...]
Values = NDArray[np.float64]
Found = Mapping[str, Mapping[Labels, Values]]  # family, labels -> (processes, values of a series)
Merge = Literal["sum", "min", "max", "age", "lag"]


class Count:
    """A number that grows."""

    __slots__ = ("_place", "_values")

    def __init__(self, tally: Tally, name: str) -> None:
        self._values = tally.values
        self._place = tally.place(name, 1)

    @property
    def value(self) -> float:
        """What this process has counted."""
        return self._values[self._place]

    def inc(self, amount: float = 1.0) -> None:
        self._values[self._place] += amount


class Level(Count):
    """A number that also falls."""

    __slots__ = ()

    def dec(self) -> None:
        self._values[self._place] -= 1.0

    def set(self, value: float) -> None:
        self._values[self._place] = value


class Spread:
    """How many values lie up to each bound: the sum of the values, then a count for each bucket alone."""

    __slots__ = ("_bounds", "_place", "_values")

    def __init__(self, tally: Tally, name: str, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._values = tally.values
        self._place = tally.place(name, len(bounds) + 2)

    def observe(self, value: float) -> None:
        bucket = self._place + 1 + bisect_left(self._bounds, value)
        self._values[bucket] += 1.0
        self._values[self._place] += value


def level(handle: int, name: str) -> Level:
    """A gauge without labels as another process has it; its tally must hold it already."""
    return Level(Tally(handle), json.dumps([f"chorus_{name}"]))


C = TypeVar("C", bound=Count | Spread)


class Family(ABC, Generic[C]):
    """One metric: its name, its labels, and how its children are made and shown."""

    def __init__(self, tally: Tally, name: str, text: str, labels: Labels) -> None:
        self.name = name
        self._tally = tally
        self._told: tuple[str, str, Any] = (name, text, labels)
        self._children: dict[tuple[object, ...], C] = {}

    def labels(self, *values: object) -> C:
        """The child of these values, in the order of the labels."""
        child = self._children.get(values)
        if child is None:
            child = self._children[values] = self._child(json.dumps([self.name, *map(str, values)]))
        return child

    @abstractmethod
    def shown(self, found: Mapping[Labels, Values]) -> Metric:
        """For Prometheus: what the processes hold, as one."""

    @abstractmethod
    def _child(self, name: str) -> C: ...


F = TypeVar("F", bound=Family[Any])
K = TypeVar("K")
P = ParamSpec("P")


class Counters(Family[Count]):
    """Added up over the processes; what one counted stays when it ends."""

    def shown(self, found: Mapping[Labels, Values]) -> Metric:
        metric = CounterMetricFamily(*self._told[:2], labels=self._told[2])
        for labels, values in found.items():
            metric.add_metric(labels, float(values.sum()))
        return metric

    def _child(self, name: str) -> Count:
        return Count(self._tally, name)


class Gauges(Family[Level]):
    """The sum, the least or the greatest of the processes.

    Of `age` and `lag` each holds a time: the newest counts, and of a lag the oldest: who is stuck must be seen.
    """

    def __init__(self, tally: Tally, name: str, text: str, labels: Labels, merge: Merge) -> None:
        super().__init__(tally, name, text, labels)
        self._merge = merge
        for each in tally.series():  # left by a process that ended
            if json.loads(each.name)[0] == name:
                tally.values[each.place] = 0.0

    def shown(self, found: Mapping[Labels, Values]) -> Metric:
        metric = GaugeMetricFamily(*self._told[:2], labels=self._told[2])
        for labels, values in found.items():
            metric.add_metric(labels, self._merged(values))
        return metric

    def _merged(self, values: Values) -> float:
        if self._merge in ("age", "lag"):
            told = values[values > 0.0]
            return (
                time.time() - float(told.max() if self._merge == "age" else told.min()) if len(told) else 0.0
            )
        merged = (
            values.sum() if self._merge == "sum" else values.min() if self._merge == "min" else values.max()
        )
        return float(merged)

    def _child(self, name: str) -> Level:
        return Level(self._tally, name)


class Histograms(Family[Spread]):
    """Buckets added up over the processes."""

    def __init__(self, tally: Tally, name: str, text: str, labels: Labels, bounds: Sequence[float]) -> None:
        super().__init__(tally, name, text, labels)
        self._bounds = bounds

    def shown(self, found: Mapping[Labels, Values]) -> Metric:
        metric = HistogramMetricFamily(*self._told[:2], labels=self._told[2])
        names = [floatToGoString(bound) for bound in (*self._bounds, np.inf)]  # type: ignore[no-untyped-call]
        for labels, values in found.items():
            total, *counts = values.sum(axis=0).tolist()
            buckets = list(zip(names, np.cumsum(counts).tolist(), strict=True))
            metric.add_metric(labels, buckets, total)
        return metric

    def _child(self, name: str) -> Spread:
        return Spread(self._tally, name, self._bounds)


class Registry:
    """The families of one process; shown with the tallies of all `handles`, or of its own if there are none."""

    def __init__(self, tally: Tally, handles: Sequence[int]) -> None:
        self._tally = tally
        self._handles = handles
        self._families: list[Family[Any]] = []

    def counters(self, name: str, text: str, *labels: str) -> Counters:
        return self._kept(Counters(self._tally, f"chorus_{name}", text, labels))

    def counter(self, name: str, text: str) -> Count:
        return self.counters(name, text).labels()

    def gauges(self, name: str, text: str, merge: Merge, *labels: str) -> Gauges:
        return self._kept(Gauges(self._tally, f"chorus_{name}", text, labels, merge))

    def gauge(self, name: str, text: str, merge: Merge) -> Level:
        return self.gauges(name, text, merge).labels()

    def histograms(self, name: str, text: str, *labels: str, bounds: Sequence[float]) -> Histograms:
        return self._kept(Histograms(self._tally, f"chorus_{name}", text, labels, bounds))

    def histogram(self, name: str, text: str, *, bounds: Sequence[float]) -> Spread:
        return self.histograms(name, text, bounds=bounds).labels()

    def fill(self, holder: object) -> None:
        """Give an object, as its own, what its class declares, in that order."""
        for name, told in vars(type(holder)).items():
            if isinstance(told, Declared):
                setattr(holder, name, told.made(self))

    def collect(self) -> Iterator[Metric]:
        """For prometheus_client's `generate_latest`."""
        tallies = [os.pread(handle, SIZE, 0) for handle in self._handles] or [self._tally.read()]
        found = _gathered(tallies)
        for family in self._families:
            yield family.shown(found.get(family.name, {}))

    def _kept(self, family: F) -> F:
        self._families.append(family)
        return family


class Declared(Generic[K]):
    """A metric as a class lists it; whatever reads it off an object finds the object's own: see `Registry.fill`."""

    def __init__(self, made: Callable[[Registry], K]) -> None:
        self.made = made

    if TYPE_CHECKING:

        def __get__(self, holder: object, owner: type) -> K: ...


def declared(make: Callable[Concatenate[Registry, P], K]) -> Callable[P, Declared[K]]:
    """A way to make a metric as a way to declare it."""

    def declare(*args: P.args, **kwargs: P.kwargs) -> Declared[K]:
        return Declared(lambda registry: make(registry, *args, **kwargs))

    return declare


def _gathered(tallies: Iterable[bytes]) -> Found:
    """Every series of some tallies, by family and labels."""
    rows: dict[str, dict[Labels, list[Values]]] = {}
    for memory in tallies:
        values = np.frombuffer(memory)
        for each in series(memory):
            name, *labels = json.loads(each.name)
            held = values[each.place : each.place + each.width]
            rows.setdefault(name, {}).setdefault(tuple(labels), []).append(held)
    return {
        name: {labels: np.stack(held) for labels, held in sorted(family.items())}
        for name, family in rows.items()
    }
