"""Before ready: the golden requests are answered and compared.

golden.jsonl   {"request": <a body of /recommend>, "expected": {item: {task: value}}, "scores": {item: score},
                "interests": {task: value}} a line; older bundles have neither scores nor interests

They are answered from the bundle alone, as if the log that it was made of had just ended: what Redis has counted or
shown since changes no answer.
"""

import asyncio
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from app.api.ask import ask
from app.api.body import parse
from app.api.schema import RecommendRequest
from app.errors import ServiceError
from app.metrics import Metrics, Stages
from app.model import Model
from app.pace import Pace
from app.question import Ask, Ranking
from app.settings import Settings
from model_store.errors import BundleMismatch
from model_store.manifest import Manifest, Task

log = logging.getLogger(__name__)

GOLDEN = "golden.jsonl"


async def check(model: Model, settings: Settings, metrics: Metrics, pace: Pace | None = None) -> None:
    """Answer the golden requests on the path of every request; raises BundleMismatch if one differs."""
    lines = await asyncio.to_thread(model.bundle.lines, GOLDEN)  # its volume may not answer
    for number, line in enumerate(lines, 1):
        where = f"{model.bundle.path(GOLDEN)} line {number}"
        asked = question(line["request"], model, settings, where)
        asked = replace(asked, k=max(asked.k, len(line["expected"])))
        [ranking] = await model.recommender.rank([asked], Stages(metrics))
        if isinstance(ranking, ServiceError):
            raise BundleMismatch(f"{where}: {ranking}; export the bundle again")
        _compare(ranking, line["expected"], model.manifest, where)
        _agree(ranking.interests, line.get("interests", {}), model.manifest, where, of="the user")
        _weigh(ranking, line.get("scores", {}), model.manifest.golden_tolerance, where)
        if pace:
            await pace.rest()
    log.info("%d golden requests answered as expected", len(lines))


def question(body: Mapping[str, Any], model: Model, settings: Settings, where: str) -> Ask:
    """A recorded request, asked of the bundle alone; BundleMismatch if it is none of that bundle."""
    try:
        asked = ask(parse(RecommendRequest, json.dumps(body).encode()), model, settings)
    except ServiceError as error:
        raise BundleMismatch(f"{where}: {error}; export the bundle again") from error
    return replace(asked, bundled=True)


def _compare(ranking: Ranking, expected: Mapping[str, Any], manifest: Manifest, where: str) -> None:
    answered = {item.item_id: item.tasks for item in ranking.items}
    for item, tasks in expected.items():
        if item not in answered:
            raise BundleMismatch(f"{where}: {item} is not in the answer; export the bundle again")
        _agree(answered[item], tasks, manifest, where, of=item)


def _agree(
    told: Mapping[str, Any], expected: Mapping[str, Any], manifest: Manifest, where: str, *, of: str
) -> None:
    """Whether each task's value is the one expected."""
    for name, value in expected.items():
        found = told.get(name)
        if found is None or _apart(manifest.task(name), found, value) > manifest.golden_tolerance:
            raise BundleMismatch(
                f"{where}: {name} of {of} is {found} here, {value} where the bundle was made; "
                "export it again, on a machine like this one"
            )


def _weigh(ranking: Ranking, expected: Mapping[str, float], tolerance: float, where: str) -> None:
    """Whether the scores are those expected, of which older bundles have none."""
    answered = {item.item_id: item.score for item in ranking.items}
    for item, score in expected.items():
        if not abs(answered.get(item, math.nan) - score) <= tolerance:
            raise BundleMismatch(
                f"{where}: the score of {item} is {answered.get(item)} here, {score} where the bundle was made; "
                "export it again, on a machine like this one"
            )


def _apart(task: Task, found: Any, expected: Any) -> float:
    """Greatest difference, as a share of the task's range where that is wider than 0..1."""
    unit = max(1.0, task.high - task.low)
    if task.quantiles:
        return float(max(abs(found[name] - expected.get(name, math.inf)) for name in task.levels) / unit)
    if isinstance(
        expected, Mapping
    ):  # the likeliest classes: one that is missing is below all that are there
        least = min(found.values(), default=0.0)
        gaps = (
            abs(found[name] - value) if name in found else max(0.0, value - least)
            for name, value in expected.items()
        )
        return float(max(gaps, default=0.0))
    return float(abs(found - expected) / unit)
