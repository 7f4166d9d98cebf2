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
    422: {"model": ErrorBody, "description": REFUSED},
    503: {"model": ErrorBody, "description": "No model yet, draining, or an event that could not be stored."},
}


def service_of(request: Request) -> Service:
    """The service that the app holds."""
    service: Service = request.app.state.service
    return service


def reply(body: Mapping[str, Any], status: int = 200) -> Response:
    """JSON bytes; the answer models describe them, and a test holds them to it."""
    return Response(to_json(body), status_code=status, media_type="application/json")


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
