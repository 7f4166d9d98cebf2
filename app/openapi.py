"""The OpenAPI document: FastAPI's, with the bodies that endpoints read themselves and the gate's keys."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from app.api.admin import DropRequest, VersionRequest
from app.api.batch import BatchRequest
from app.api.events import EventsRequest
from app.api.items import DeleteRequest, PutRequest
from app.api.pairs import ScoreRequest
from app.api.schema import RecommendRequest
from app.gate import need
from app.holder import Need

SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key of the service's file of API keys."},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key."},
}
REFUSALS = {
    "401": "No key, or one that is unknown, revoked or expired.",
    "403": "The key lacks the scope.",
    "429": "Too much is asked for, of the service or by this key; Retry-After says when to come again.",
}
FOREIGN = (
    "HTTPValidationError",
    "ValidationError",
)  # FastAPI's, of parameters: ours are ids, and any string is one
BODIES = (
    RecommendRequest, BatchRequest, ScoreRequest, EventsRequest, PutRequest, DeleteRequest, VersionRequest,
    DropRequest,
)  # fmt: skip


def document(app: FastAPI) -> dict[str, Any]:
    """Built once, when it is first asked for."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        _, bodies = models_json_schema(
            [(body, "validation") for body in BODIES], ref_template="#/components/schemas/{model}"
        )
        schema["components"]["schemas"] |= bodies["$defs"]
        schema["components"]["securitySchemes"] = SCHEMES
        for path, methods in schema["paths"].items():
            for operation in methods.values():
                _guard(operation, need(path))
                _unsay(operation)
        for name in FOREIGN:
            del schema["components"]["schemas"][name]
        app.openapi_schema = schema
    return app.openapi_schema


def _guard(operation: dict[str, Any], needed: Need) -> None:
    """Say what an operation needs, and how it is refused."""
    if needed == "none":
        return
    scopes = [] if needed == "any" else [needed]
    operation["security"] = [{name: scopes} for name in SCHEMES]
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorBody"}}}
    for status, text in REFUSALS.items():
        operation["responses"].setdefault(status, {"description": text, "content": content})


def _unsay(operation: dict[str, Any]) -> None:
    """Take back what FastAPI says of itself."""
    if FOREIGN[0] in str(operation["responses"].get("422")):
        del operation["responses"]["422"]
