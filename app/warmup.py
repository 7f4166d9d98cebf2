"""Before ready: what the first callers would wait for is done once.

warmup.jsonl   a body of /recommend a line: recorded requests

They run as golden requests do. Then one of them runs with as many candidates as requests may have, and with fewer,
from bytes to bytes: graphs take the memory that they will need, and code runs that has never run.
"""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

from pydantic_core import to_json

from app.api.ask import ask
from app.api.body import parse
from app.api.schema import RecommendRequest
from app.errors import ServiceError
from app.golden import question
from app.metrics import Metrics, Stages
from app.model import Model
from app.pace import Pace
from app.settings import Settings

WARMUP = "warmup.jsonl"
SIZES = (1, 20, 100, 500, 1_000, 5_000)
ROUNDS = 3
NOBODY = "chorus:warm-up"  # a user of whom Redis is asked


async def run(model: Model, settings: Settings, metrics: Metrics, pace: Pace) -> None:
    """Do it all. Raises BundleMismatch if a recorded request is none of the bundle's."""
    there = WARMUP in model.manifest.files
    bodies = await asyncio.to_thread(model.bundle.lines, WARMUP) if there else []
    for number, body in enumerate(bodies, 1):
        asked = question(body, model, settings, f"{model.bundle.path(WARMUP)} line {number}")
        await model.recommender.rank([asked], Stages(metrics))
        await pace.rest()
    for body in _bodies(bodies[0] if bodies else {"query": "warm up"}, model, settings):
        await model.state.fetch([NOBODY])
        given = parse(RecommendRequest, json.dumps(body).encode())
        [ranking] = await model.recommender.rank([ask(given, model, settings)], Stages(metrics))
        if not isinstance(ranking, ServiceError):
            to_json([item.body() for item in ranking.items])
        await pace.rest()


def _bodies(body: dict[str, Any], model: Model, settings: Settings) -> Iterator[dict[str, Any]]:
    """A request with more and more candidates from all over the catalogue; then a newcomer's, who names none."""
    ids = model.bundle.items.ids
    sizes = {min(size, settings.max_candidates, len(ids)) for size in SIZES}
    for size in sorted(sizes) * ROUNDS:
        yield body | {"candidates": ids[:: len(ids) // size][:size]}
    for _ in range(ROUNDS):
        yield body | {"history": [], "candidates": None}
