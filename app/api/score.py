"""POST /score: every task's value for given pairs of user and item, and for texts alone, in the order given."""

from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from app.api.body import check_size, read
from app.api.entries import parse_each
from app.api.pairs import Pair, ScoreRequest, scored, told
from app.api.reply import LATE, giving, reply, service_of, taking
from app.api.schema import (
    ModelName,
)
from app.errors import Invalid
from app.trace import trace_of

router = APIRouter(tags=["score"])

EXAMPLE = {
    "pairs": [
        {"user_id": "u42", "item_id": "i1"},
        {"user_id": "u42", "item_id": "i2", "query": "running shoes"},
    ],
    "texts": ["Soft, but they fell apart within a week"],
}
ANSWER = {
    "request_id": "0f8c2c9b0b6f4d0f9c4f4e0c5a3c9f11",
    "model": {"name": "shop", "version": 7},
    "results": [
        {"status": 200, "item_id": "i1", "score": 0.83, "tasks": {"click": 0.83, "query_match": 0.5}},
        {
            "status": 422,
            "error": "item_id: 'i2' is not in the catalogue; give its text",
            "error_type": "validation",
        },
    ],
    "texts": [{"tasks": {"sentiment": 0.08}}],
    "degraded": [],
}


class TextScores(BaseModel):
    """What the tasks that read a text alone say of one text."""

    tasks: dict[str, Any]


class ScoreAnswer(BaseModel):
    """Results and texts in the order given; a pair that failed has its status and error in its place."""

    request_id: str
    model: ModelName
    results: list[dict[str, Any]]
    texts: list[TextScores]
    degraded: list[str]


@router.post(
    "/score",
    summary="Score given pairs and texts",
    openapi_extra=taking(ScoreRequest, EXAMPLE),
    responses=giving(ScoreAnswer, ANSWER) | LATE,
)
async def score(request: Request) -> Response:
    """All tasks for each pair; a pair that cannot be scored does not fail the others."""
    service, trace = service_of(request), trace_of(request)
    choice, limit = service.choice, service.settings.max_batch
    body = await read(request, service.settings.max_body_bytes)
    given, pairs = await parse_each(ScoreRequest, Pair, body, "pairs", limit)
    if not pairs and not given.texts:
        raise Invalid("pairs: is empty, and so is texts; give at least one of them")
    check_size("texts", len(given.texts), limit)
    trace.spend(len(pairs) + len(given.texts))
    service.metrics.batch.labels("/score").observe(len(pairs) + len(given.texts))
    model, results, degraded = await scored(pairs, given, partial(trace.choose, choice), trace.stages)
    texts = await model.recommender.texts(given.texts, trace.stages) if given.texts else []
    return reply(
        {
            "request_id": trace.request_id,
            "model": told(model),
            "results": results,
            "texts": [{"tasks": tasks} for tasks in texts],
            "degraded": degraded,
        }
    )
