"""Health and metrics. Liveness depends on nothing that a restart would not mend; readiness says why not."""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from app.api.reply import reply, service_of
from app.api.schema import ModelName
from app.pulse import DEAD_SECONDS
from app.versions import Refusal

router = APIRouter(tags=["health"])


class Liveness(BaseModel):
    """The process answers."""

    status: str = Field(description="alive or stuck", examples=["alive"])


class Readiness(BaseModel):
    """Whether requests should be sent here."""

    ready: bool
    reasons: list[str] = Field(description="Why not; empty when ready.")


class Health(BaseModel):
    """The summary for people."""

    status: str = Field(description="ok, degraded, starting, draining or failed")
    model: ModelName | None
    refused: Refusal | None = Field(
        description="The version that was to take its place, and why it does not."
    )
    redis: str = Field(
        description="external, embedded or none; away while it does not answer, denied where it does not let us read"
    )
    degraded: list[str]


@router.get(
    "/health/live",
    summary="Is the process alive?",
    response_model=Liveness,
    responses={503: {"model": Liveness, "description": "An inference hangs: only a restart helps."}},
)
async def live(request: Request) -> Response:
    """200, whatever load, Redis and the model do; 503 once an inference has hung for a minute."""
    dead = service_of(request).stuck > DEAD_SECONDS
    return reply({"status": "stuck" if dead else "alive"}, 503 if dead else 200)


@router.get(
    "/health/ready",
    summary="Should requests be sent here?",
    response_model=Readiness,
    responses={503: {"model": Readiness, "description": "Loading, refused or draining."}},
)
async def ready(request: Request) -> Response:
    """200 when a model is served; 503 with the reasons until then and while draining."""
    reasons = service_of(request).reasons()
    return reply({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)


@router.get("/health", summary="How is it?", response_model=Health)
async def health(request: Request) -> Response:
    """Always 200."""
    service = service_of(request)
    served = service.model if service.name else None
    model = served.manifest if served else None
    without = served.recommender.without() if served and not service.redis.kept else ()
    return reply(
        {
            "status": service.status,
            "model": {"name": model.name, "version": model.version} if model else None,
            "refused": service.versions.refusal,
            "redis": service.redis.condition,
            "degraded": without,
        }
    )


@router.get("/metrics", summary="Prometheus metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """In Prometheus' text format."""
    return Response(generate_latest(service_of(request).metrics), media_type=CONTENT_TYPE_LATEST)


for alias, endpoint in (("/livez", live), ("/readyz", ready), ("/healthz", health)):
    router.add_api_route(alias, endpoint, include_in_schema=False, response_model=None)
