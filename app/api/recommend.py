"""POST /recommend: rank items for one user."""

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from app.api.ask import ask, size
from app.api.body import parse, read
from app.api.reply import LATE, giving, reply, service_of, taking
from app.api.schema import ModelName, RankedItem, RecommendRequest
from app.breaks import turn
from app.errors import ServiceError
from app.model import Model
from app.outcome import bodies
from app.question import Ranking
from app.trace import trace_of

router = APIRouter(tags=["recommend"])

LARGE = 10_000  # bytes: what takes the event loop a good part of a millisecond

EXAMPLE = {"user_id": "u42", "query": "red running shoes", "candidates": ["i1", "i2", "i99"], "k": 10}
ANSWER = {
    "request_id": "0f8c2c9b0b6f4d0f9c4f4e0c5a3c9f11",
    "model": {"name": "shop", "version": 7},
    "items": [
        {
            "item_id": "i2",
            "score": 0.83,
            "tasks": {"click": 0.83, "query_match": 0.9, "category": {"shoes": 0.97}},
        },
        {
            "item_id": "i1",
            "score": 0.41,
            "tasks": {"click": 0.41, "query_match": 0.2, "category": {"hats": 0.88}},
        },
    ],
    "unknown_items": ["i99"],
    "degraded": [],
}


class RecommendAnswer(BaseModel):
    """Items best first."""

    request_id: str
    model: ModelName
    items: list[RankedItem]
    unknown_items: list[str] = Field(
        description="Candidates that are not in the catalogue and brought no text."
    )
    degraded: list[str] = Field(
        description="What was done without: while Redis was away `cache` (histories and vectors) and `statistics` "
        "(what was counted and shown since the bundle was made); near the deadline `query`."
    )
    interests: dict[str, dict[str, float]] | None = Field(
        None,
        description="Where the model has tasks of users: {task: {class: probability}}, the likeliest that the user "
        "wants next.",
    )


@router.post(
    "/recommend",
    summary="Rank items for a user",
    openapi_extra=taking(RecommendRequest, EXAMPLE),
    responses=giving(RecommendAnswer, ANSWER) | LATE,
)
async def recommend(request: Request) -> Response:
    """Candidates given, or retrieved from the catalogue; every task's value and one score for each."""
    service, trace = service_of(request), trace_of(request)
    choice = service.choice
    body = await read(request, service.settings.max_body_bytes)
    if len(body) > LARGE:
        await turn()  # of many that come at once each is parsed and looked up in one of its own
    given = parse(RecommendRequest, body)
    model = trace.choose(choice, given.user_id)
    asked = ask(given, model, service.settings)
    trace.spend(size([(model, asked)], service.settings))
    [ranking] = await model.recommender.rank([asked], trace.stages)
    if isinstance(ranking, ServiceError):
        raise ranking
    trace.cache = ranking.cache
    if (shadow := service.versions.shadow) and model is choice.stable:
        shadow.offer(given, asked, ranking)
    return reply(answer(ranking, model, trace.request_id))


def answer(ranking: Ranking, model: Model, request_id: str) -> dict[str, Any]:
    """The ranking as JSON; interests only where there are some."""
    told = {"interests": ranking.interests} if ranking.interests else {}
    return {
        "request_id": request_id,
        "model": {"name": model.manifest.name, "version": model.manifest.version},
        "items": bodies(ranking.items),
        "unknown_items": ranking.unknown,
        "degraded": ranking.degraded,
        **told,
    }
