"""What training tasks together is worth: each task's headline metric, joint minus alone, over runs.

A gain is positive where the joint model is better, whichever way the metric goes. Over several runs, which should
differ in nothing but their seeds, it has a 95 % interval by Student's t, paired by run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

from training.errors import ConfigError
from training.evaluate import LOWER_IS_BETTER


@dataclass(frozen=True)
class Interval:
    """A mean, and half of the width of its interval; None for one run."""

    mean: float
    half: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> "Interval":
        """Of one value a run."""
        count = len(values)
        if count < 2:
            return cls(float(np.mean(values)), None)
        spread = float(np.std(values, ddof=1)) / count**0.5
        return cls(float(np.mean(values)), float(student.ppf(0.975, count - 1)) * spread)

    def written(self, digits: int = 4, factor: float = 1.0) -> str:
        """As `+0.0123 ± 0.0045`."""
        half = "" if self.half is None else f" ± {factor * self.half:.{digits}f}"
        return f"{factor * self.mean:+.{digits}f}{half}"


@dataclass(frozen=True)
class Worth:
    """One task: means of both, its gain, and the gain as a share of what it reaches alone."""

    task: str
    metric: str
    joint: float
    alone: float
    gain: Interval
    share: Interval


def worth(records: Sequence[Mapping[str, Any]]) -> list[Worth]:
    """Of each task that was trained alone in all runs, from what the runs' metrics.json hold.

    Tasks whose metric is undefined in one of them are left out. Raises ConfigError if no task was trained alone, or
    the runs are not of the same tasks.
    """
    headlines = [record.get("headlines") for record in records]
    if None in headlines or any(each != headlines[0] for each in headlines):
        raise ConfigError(
            "the runs are not of the same tasks and metrics; evaluate runs of one configuration"
        )
    names = [
        name for name in headlines[0] or {} if all(name in _tests(record, "alone") for record in records)
    ]
    if not names:
        raise ConfigError("no task was trained alone; evaluate the runs with --alone")
    found = [_one(name, (headlines[0] or {})[name], records) for name in names]
    return [task for task in found if np.isfinite(task.gain.mean)]


def check_apart(folders: Sequence[Path], records: Sequence[Mapping[str, Any]]) -> None:
    """ConfigError where two have the same figures: intervals would be narrow because a run was counted twice."""
    for number, record in enumerate(records):
        if record["tests"] in [earlier["tests"] for earlier in records[:number]]:
            raise ConfigError(
                f"{folders[number]} has the figures of another of the runs; give each run once, of seeds that differ"
            )


def delta(found: Sequence[Worth], records: Sequence[Mapping[str, Any]]) -> Interval:
    """Δm: the mean over the tasks of the gain as a share of what each reaches alone, over runs."""
    runs = [[_one(task.task, task.metric, [record]).share.mean for task in found] for record in records]
    return Interval.of([float(np.mean(shares)) if shares else np.nan for shares in runs])


def _one(name: str, metric: str, records: Sequence[Mapping[str, Any]]) -> Worth:
    joint, alone = (
        np.array([_tests(record, method)[name][metric] for record in records])
        for method in ("joint", "alone")
    )
    gains = alone - joint if metric in LOWER_IS_BETTER else joint - alone
    shares = gains / np.maximum(np.abs(alone), 1e-12)
    return Worth(
        name, metric, float(joint.mean()), float(alone.mean()), Interval.of(gains), Interval.of(shares)
    )


def _tests(record: Mapping[str, Any], method: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = record["tests"].get(method, {})
    return found
