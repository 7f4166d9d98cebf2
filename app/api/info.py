"""GET /info: what is served, and what requests may say to it."""

import time
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from app.api.reply import ERRORS, reply, service_of
from app.api.schema import MAX_HISTORY, MAX_K
from app.model import Model
from app.register import MOST
from app.settings import Settings
from app.versions import Refusal

router = APIRouter(tags=["info"])


class ServedModel(BaseModel):
    """The bundle. `heads`: `compiled`, or `graphs` where there was no compiler or the bundle has nothing for it."""

    name: str
    version: int
    fingerprint: str
    created: str
    encoder: str
    dimension: int
    precision: str
    device: str
    heads: str


class ServedTask(BaseModel):
    """One head. `low` and `high`: the range that fusion maps to 0..1; `scalar`: whether it can be weighed;
    `quantiles`: those of a number that are answered; `given`: the task by whose chance fusion multiplies a number."""

    name: str
    type: str
    inputs: str
    classes: list[str]
    quantiles: list[float]
    clock: str | None
    given: str | None
    low: float
    high: float
    scalar: bool
    weight: float = Field(description="In the default fusion.")


class ServedStatistics(BaseModel):
    """What is counted of items: `view` among the events is each item of a list that was shown."""

    events: list[str]
    windows: list[str]
    latest: list[str] = Field(description="Numbers that events may tell, in their `values`.")
    until: datetime = Field(description="The end of the log behind the bundle's own counts.")
    age_seconds: float = Field(description="How long ago that is.")


class Info(BaseModel):
    """What is served, and what requests may say to it."""

    model: ServedModel
    tasks: list[ServedTask]
    fusion: str = Field(description="The default method.")
    events: list[str]
    features: list[str]
    numbers: list[str] = Field(description="Of items that a request describes.")
    context: dict[str, list[str]] = Field(description="Known words by name; any other is one more.")
    statistics: ServedStatistics | None
    item_text: list[str]
    profile_text: list[str]
    attributes: list[str]
    timezone: str
    items: int
    limits: dict[str, int]
    redis: str
    refused: Refusal | None = Field(
        description="The version that was to take its place, and why it does not."
    )


@router.get("/info", summary="What is served?", response_model=Info, responses={503: ERRORS[503]})
async def info(request: Request) -> Response:
    """Model, tasks, names that requests may use, and limits."""
    service = service_of(request)
    return reply(
        describe(service.model, service.settings)
        | {"redis": service.redis.kind, "refused": service.versions.refusal}
    )


def describe(model: Model, settings: Settings) -> dict[str, Any]:
    """Everything of /info but Redis."""
    manifest = model.manifest
    fusion = model.fusion
    shown = ("name", "version", "fingerprint", "created", "encoder", "dimension", "precision")
    return {
        "model": {name: getattr(manifest, name) for name in shown}
        | {
            "device": model.engine.device,
            "heads": "compiled" if model.compiled else "graphs",
        },
        "tasks": [
            task.model_dump(
                include={"name", "type", "inputs", "classes", "quantiles", "clock", "given", "low", "high"}
            )
            | {
                "scalar": task.scalar and task in manifest.answered,
                "weight": fusion.weights.get(task.name, 0.0),
            }
            for task in manifest.tasks
        ],
        "fusion": fusion.method,
        "events": manifest.events[1:],
        "features": manifest.features.use,
        "numbers": model.engine.features.numbers,
        "context": model.engine.features.words,
        "statistics": _statistics(model),
        "item_text": [field.name for field in manifest.item_text],
        "profile_text": [field.name for field in manifest.profile_text],
        "attributes": manifest.attributes,
        "timezone": manifest.timezone,
        "items": len(model.catalogue),
        "limits": {
            "k": MAX_K,
            "history": MAX_HISTORY,
            "history_used": manifest.history_limit,
            "candidates": settings.max_candidates,
            "batch": settings.max_batch,
            "items_runtime": MOST,
            "body_bytes": settings.max_body_bytes,
            "stream_bytes": settings.max_stream_bytes,
            "retrieve": settings.retrieve,
        },
    }


def _statistics(model: Model) -> dict[str, Any] | None:
    layout, until = model.engine.features.layout, model.manifest.statistics_until
    if layout.empty:
        return None
    return {
        "events": layout.events,
        "windows": [window.name for window in layout.windows],
        "latest": layout.latest,
        "until": datetime.fromtimestamp(until, tz=UTC),
        "age_seconds": time.time() - until,
    }
