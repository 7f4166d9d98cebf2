"""/admin: which version answers. Closed but to keys of scope admin: see gate.py."""

from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from app.api.body import parse, read
from app.api.reply import ERRORS, reply, service_of, taking
from app.api.schema import ErrorBody, Strict
from app.service import Service
from app.trace import trace_of
from app.versions import Refusal, Wish

router = APIRouter(prefix="/admin", tags=["admin"])

REFUSED: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorBody, "description": "The shelf holds no such version."},
    409: {"model": ErrorBody, "description": "It was refused, or another is being loaded; nothing changed."},
}


class VersionRequest(Strict):
    """The version that is to answer."""

    version: int | Literal["newest"] = Field(description="Its number, or the newest on the shelf.")


class VersionsAnswer(BaseModel):
    """What is held and what lies on the shelf."""

    request_id: str
    name: str
    served: int
    previous: int | None = Field(description="Held open: what /admin/rollback goes back to.")
    loading: int | None
    refused: Refusal | None
    shelf: list[int]


@router.get(
    "/versions",
    summary="Which versions are there?",
    response_model=VersionsAnswer,
    responses={503: ERRORS[503]},
)
async def versions(request: Request) -> Response:
    """The version that answers, the one before it, the one that is being loaded, and all on the shelf."""
    return _shown(request)


@router.post(
    "/versions",
    summary="Serve another version",
    openapi_extra=taking(VersionRequest, {"version": "newest"}),
    response_model=VersionsAnswer,
    responses=ERRORS | REFUSED,
)
async def serve(request: Request) -> Response:
    """Answered once it serves, or was refused: then the one that served goes on."""
    service = _ready(request)
    given = parse(VersionRequest, await read(request, service.settings.max_body_bytes))
    await service.take(Wish(version=given.version))
    return _shown(request)


@router.post(
    "/rollback",
    summary="Go back to the version before",
    response_model=VersionsAnswer,
    responses=REFUSED | {503: ERRORS[503]},
)
async def rollback(request: Request) -> Response:
    """At once: it was held open."""
    service = _ready(request)
    await service.take(Wish(version="before"))
    return _shown(request)


def _ready(request: Request) -> Service:
    """The service; NotReady before there is a version to go on from."""
    service = service_of(request)
    _ = service.model
    return service


def _shown(request: Request) -> Response:
    return reply({"request_id": trace_of(request).request_id, **_ready(request).versions.shown()})
