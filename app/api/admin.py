"""/admin: which version answers whom. Closed but to keys of scope admin: see gate.py."""

from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, model_validator

from app.api.body import parse, read
from app.api.reply import ERRORS, reply, service_of, taking
from app.api.schema import ErrorBody, Strict
from app.labels import Beside, Label, Wish
from app.service import Service
from app.trace import trace_of
from app.trial import Trial, check
from app.versions import Refusal

router = APIRouter(prefix="/admin", tags=["admin"])

REFUSED: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorBody, "description": "The shelf holds no such version."},
    409: {"model": ErrorBody, "description": "It was refused, or another is being loaded; nothing changed."},
}


class VersionRequest(Strict):
    """A version, and the label that it is to have."""

    version: int | Literal["newest"] = Field(description="Its number, or the newest on the shelf.")
    label: Label = Field(
        "stable",
        description="`stable`: it answers; `canary`: a share of the users, always the same ones; `shadow`: it is "
        "compared with the stable one, unheard.",
    )
    share: float | None = Field(
        None, description="Of the users, for a canary; of the requests, for a shadow: all if left out."
    )

    @model_validator(mode="after")
    def _fits(self) -> "VersionRequest":
        if self.label == "stable" and self.share is not None:
            raise ValueError("gives a share to the stable version; leave it out, or name another label")
        if self.label == "canary" and self.share is None:
            raise ValueError("names a canary without its share of the users; give share")
        if self.label != "stable" and self.share is not None:
            check(self.label, self.share)
        return self


class DropRequest(Strict):
    """The label that no version is to have any more."""

    label: Beside


class VersionsAnswer(BaseModel):
    """What is held and what lies on the shelf."""

    request_id: str
    name: str
    served: int
    previous: int | None = Field(description="Held open: what /admin/rollback goes back to.")
    canary: Trial | None = Field(description="Answers a share of the users.")
    shadow: Trial | None = Field(description="Is compared on a share of the requests.")
    loading: int | None
    refused: Refusal | None
    shelf: list[int] | None = Field(description="All versions on it; null: it cannot be looked at now.")


@router.get(
    "/versions",
    summary="Which versions are there?",
    response_model=VersionsAnswer,
    responses={503: ERRORS[503]},
)
async def versions(request: Request) -> Response:
    """The version that answers, the one before it, the one that is being loaded, and all on the shelf."""
    return await _shown(request)


@router.post(
    "/versions",
    summary="Give a version a label",
    openapi_extra=taking(VersionRequest, {"version": "newest"}),
    response_model=VersionsAnswer,
    responses=ERRORS | REFUSED,
)
async def serve(request: Request) -> Response:
    """Answered once it has the label, or was refused: then all goes on as before. One that is held has it at once."""
    service = _ready(request)
    given = parse(VersionRequest, await read(request, service.settings.max_body_bytes))
    share = 1.0 if given.share is None else given.share
    await service.take(Wish(version=given.version, label=given.label, share=share))
    return await _shown(request)


@router.post(
    "/promote",
    summary="Make the canary the stable version",
    response_model=VersionsAnswer,
    responses=REFUSED | {503: ERRORS[503]},
)
async def promote(request: Request) -> Response:
    """At once; the version that was stable is held open to go back to."""
    service = _ready(request)
    await service.take(Wish(version="canary"))
    return await _shown(request)


@router.post(
    "/drop",
    summary="Let go of the canary or the shadow",
    openapi_extra=taking(DropRequest, {"label": "canary"}),
    response_model=VersionsAnswer,
    responses=ERRORS | REFUSED,
)
async def drop(request: Request) -> Response:
    """At once; users of a canary are answered by the stable version again."""
    service = _ready(request)
    given = parse(DropRequest, await read(request, service.settings.max_body_bytes))
    await service.take(Wish(version=None, label=given.label))
    return await _shown(request)


@router.post(
    "/rollback",
    summary="Go back to the version before",
    response_model=VersionsAnswer,
    responses=REFUSED | {503: ERRORS[503]},
)
async def rollback(request: Request) -> Response:
    """At once: it was held open. While there is a canary that is dropped instead, and nothing else."""
    service = _ready(request)
    await service.take(Wish(version="before"))
    return await _shown(request)


def _ready(request: Request) -> Service:
    """The service; NotReady before there is a version to go on from."""
    service = service_of(request)
    _ = service.model
    return service


async def _shown(request: Request) -> Response:
    shown = await _ready(request).versions.shown()
    return reply({"request_id": trace_of(request).request_id, **shown})
