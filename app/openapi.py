"""The OpenAPI document: FastAPI's, with the bodies that endpoints read themselves."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from app.api.batch import BatchRequest
from app.api.events import EventsRequest
from app.api.items import DeleteRequest, PutRequest
from app.api.pairs import ScoreRequest
from app.api.schema import RecommendRequest

BODIES = (RecommendRequest, BatchRequest, ScoreRequest, EventsRequest, PutRequest, DeleteRequest)


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
        app.openapi_schema = schema
    return app.openapi_schema
