"""What endpoints share: the service behind a request, and answers as ready bytes."""

from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response
from pydantic import BaseModel
from pydantic_core import to_json

from app.api.schema import ErrorBody
from app.service import Service

REFUSED = "Not usable: the message names the field and the fix."
ERRORS: dict[int | str, dict[str, Any]] = {
    413: {"model": ErrorBody, "description": "More bytes, candidates or entries than the limits in /info."},
    415: {"model": ErrorBody, "description": "A compressed body."},
    422: {"model": ErrorBody, "description": REFUSED},
    503: {"model": ErrorBody, "description": "No model yet, draining, or an event that could not be stored."},
}
LATE: dict[int | str, dict[str, Any]] = {
    504: {"model": ErrorBody, "description": "The deadline has passed; nothing more is done for the request."}
}


def service_of(request: Request) -> Service:
    """The service that the app holds."""
    service: Service = request.app.state.service
    return service


class Json(Response):
    """Bytes that are JSON already."""

    media_type = "application/json"

    def __init__(self, body: bytes, status: int = 200) -> None:
        self.status_code = status
        self.body = body
        self.background = None
        self.raw_headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]


def reply(body: Mapping[str, Any], status: int = 200) -> Response:
    """JSON; the answer models describe it, and a test holds it to them."""
    return Json(to_json(body), status)


def taking(model: type[BaseModel], example: Mapping[str, Any]) -> dict[str, Any]:
    """The OpenAPI entry of a body that the endpoint reads itself."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schema, "example": example}},
        }
    }


def giving(model: type[BaseModel], example: Mapping[str, Any]) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entry of an answer with its example, and of the errors."""
    return {200: {"model": model, "content": {"application/json": {"example": example}}}} | ERRORS
