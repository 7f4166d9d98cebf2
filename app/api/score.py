"""POST /score: every task's value for given pairs of user and item, and for texts alone, in the order given."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, model_validator

from app.api import ask as asks
from app.api.batch import failed
from app.api.body import parse_each, read
from app.api.reply import giving, reply, service_of, taking
from app.api.schema import (
    MAX_HISTORY,
    ColdItem,
    Context,
    FusionChoice,
    HistoryEvent,
    Id,
    ModelName,
    Query,
    Record,
    Strict,
    Time,
    Words,
)
from app.candidates import Candidates
from app.errors import Invalid, ServiceError
from app.metrics import Stages
from app.model import Model
from app.question import Ask
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


class Pair(ColdItem):
    """A user, named or described by a history, and an item, by id or with its text."""

    user_id: Id | None = None
    history: Annotated[list[HistoryEvent], Field(max_length=MAX_HISTORY)] | None = None
    profile: Record | None = None
    query: Query | None = None
    timestamp: Time | None = Field(
        None, description="The moment of this pair; that of the context if left out."
    )

    @model_validator(mode="after")
    def _someone(self) -> "Pair":
        if self.user_id is None and self.history is None and self.query is None:
            raise ValueError("names nobody and asks nothing; give user_id, history or query")
        return self


class ScoreRequest(Strict):
    """Pairs, texts or both. Each pair is a list of its own: features of lists compare it with itself."""

    pairs: list[Pair] = Field(default_factory=list)
    texts: list[Words] = Field(default_factory=list, description="For the tasks that read a text alone.")
    context: Context | None = None
    fusion: FusionChoice | None = None


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
    responses=giving(ScoreAnswer, ANSWER),
)
async def score(request: Request) -> Response:
    """All tasks for each pair; a pair that cannot be scored does not fail the others."""
    service, trace = service_of(request), trace_of(request)
    model, limit = service.model, service.settings.max_batch
    body = await read(request, service.settings.max_body_bytes)
    given, pairs = parse_each(ScoreRequest, Pair, body, "pairs")
    if not pairs and not given.texts:
        raise Invalid("pairs: is empty, and so is texts; give at least one of them")
    asks.check_size("pairs", len(pairs), limit)
    asks.check_size("texts", len(given.texts), limit)
    service.metrics.batch.labels("/score").observe(len(pairs) + len(given.texts))
    results, degraded = await score_pairs(pairs, given, model, trace.stages)
    texts = await model.recommender.texts(given.texts, trace.stages) if given.texts else []
    return reply(
        {
            "request_id": trace.request_id,
            "model": {"name": model.manifest.name, "version": model.manifest.version},
            "results": results,
            "texts": [{"tasks": tasks} for tasks in texts],
            "degraded": degraded,
        }
    )


async def score_pairs(
    pairs: Sequence[Pair | Invalid], given: ScoreRequest, model: Model, stages: Stages
) -> tuple[list[dict[str, Any]], list[str]]:
    """A result for each pair, from one run of the use case, and what was done without."""
    checked = [_ask(pair, given, model) for pair in pairs]
    scored = iter(await model.recommender.score([one for one in checked if isinstance(one, Ask)], stages))
    outcomes = [next(scored) if isinstance(one, Ask) else one for one in checked]
    results, degraded = [], set()
    for outcome in outcomes:
        if isinstance(outcome, ServiceError):
            results.append(failed(outcome))
        else:
            results.append({"status": 200} | outcome.items[0].body())
            degraded.update(outcome.degraded)
    return results, sorted(degraded)


def _ask(pair: Pair | Invalid, given: ScoreRequest, model: Model) -> Ask | ServiceError:
    if isinstance(pair, Invalid):
        return pair
    manifest, features = model.manifest, model.engine.features
    try:
        candidates = Candidates.of([asks.candidate(pair, manifest, features)])
        if not model.catalogue.known(candidates):
            raise Invalid(f"item_id: {pair.item_id!r} is not in the catalogue; give its text")
        return Ask(
            now=asks.moment(given.context) if pair.timestamp is None else pair.timestamp.timestamp(),
            fusion=asks.fusion(given.fusion, model.fusion, manifest),
            user_id=pair.user_id,
            history=asks.history(pair.history, manifest),
            profile=asks.profile(pair.profile, manifest),
            query=pair.query,
            candidates=candidates,
            words=asks.words(given.context, features),
        )
    except ServiceError as error:
        return error
