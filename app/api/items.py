"""PUT and DELETE /items: the catalogue changed without a new bundle, kept in Redis and followed by every process."""

import math
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from pydantic_core import to_json

from app.api import ask as asks
from app.api.batch import failed
from app.api.body import check_size, parse, read
from app.api.entries import parse_each
from app.api.reply import ERRORS, giving, reply, service_of, taking
from app.api.schema import AT_LEAST_ONE, ColdItem, Each, ErrorBody, Id, Strict
from app.errors import CacheAway, Invalid, NotStored, ServiceError, Unknown
from app.model import Model
from app.register import Source
from app.service import Service
from app.trace import trace_of

router = APIRouter(tags=["items"])

VALUES = 64  # most of one attribute of an item: all items have room for as many as the one with most

EXAMPLE = {
    "items": [
        {
            "item_id": "i100",
            "text": {"title": "Trail shoes"},
            "attributes": {"category": ["shoes"]},
            "published": "2025-11-22T08:00:00+01:00",
        }
    ]
}
ANSWER = {"request_id": "0f8c2c9b0b6f4d0f9c4f4e0c5a3c9f11", "results": [{"status": 200, "item_id": "i100"}]}
DELETE_EXAMPLE = {"item_ids": ["i100", "i99"]}
DELETED = {"item_id": "i100", "deleted": True}
MANY_DELETED = {
    "request_id": ANSWER["request_id"],
    "results": [DELETED, {"item_id": "i99", "deleted": False}],
}


class PutRequest(Strict):
    """Items, each whole: what is left out of one is missing of it."""

    items: Each[ColdItem] = Field(
        description="At most the batch limit in /info.", json_schema_extra=AT_LEAST_ONE
    )


class PutAnswer(BaseModel):
    """One result an item, in the order given: its id, or an error, each with its status."""

    request_id: str
    results: list[dict[str, Any]]


class DeleteRequest(Strict):
    """Ids of items."""

    item_ids: Annotated[Each[Id], Field(min_length=1)]


class Deletion(BaseModel):
    """An item that is not found any more; `deleted`: it was there."""

    item_id: str
    deleted: bool


class DeleteAnswer(Deletion):
    """The same for one item alone."""

    request_id: str


class DeletesAnswer(BaseModel):
    """One result an item, in the order given."""

    request_id: str
    results: list[Deletion]


class ItemAnswer(BaseModel):
    """An item as this process knows it; `source`: bundle or runtime."""

    request_id: str
    item_id: str
    source: str
    attributes: dict[str, list[str]]
    numbers: dict[str, float]
    published: datetime | None
    tasks: dict[str, Any] = Field(description="What the tasks say that read a text alone.")


@router.put(
    "/items",
    summary="Add items or replace them",
    openapi_extra=taking(PutRequest, EXAMPLE),
    responses=giving(PutAnswer, ANSWER),
)
async def put(request: Request) -> Response:
    """Encoded and stored before the answer, or 503. Each item succeeds or fails alone."""
    service, trace = service_of(request), trace_of(request)
    model, metrics = service.model, service.metrics
    body, most = await read(request, service.settings.max_body_bytes), service.settings.max_batch
    _, given = await parse_each(PutRequest, ColdItem, body, "items", most)
    if not given:
        raise Invalid("items: is empty; give at least one item")
    checked = [_source(item, model) for item in given]
    sources = [one for one in checked if isinstance(one, Source)]
    try:
        with trace.stages("items"):
            wrong = iter(await model.changes.put(sources) if sources else [])
            await _tell(service)
    except NotStored:
        metrics.changes.labels("put", "not_stored").inc(len(sources))
        raise
    outcomes = [next(wrong) or one if isinstance(one, Source) else one for one in checked]
    results = [_result(outcome) for outcome in outcomes]
    stored = sum(isinstance(outcome, Source) for outcome in outcomes)
    metrics.changes.labels("put", "stored").inc(stored)
    metrics.changes.labels("put", "rejected").inc(len(outcomes) - stored)
    return reply({"request_id": trace.request_id, "results": results})


@router.post(
    "/items/delete",
    summary="Delete items",
    openapi_extra=taking(DeleteRequest, DELETE_EXAMPLE),
    responses=giving(DeletesAnswer, MANY_DELETED),
)
async def delete_many(request: Request) -> Response:
    """None of them is found any more when this is answered, whether they were there or not."""
    service = service_of(request)
    given = parse(DeleteRequest, await read(request, service.settings.max_body_bytes))
    check_size("item_ids", len(given.item_ids), service.settings.max_batch)
    results = await _delete(given.item_ids, request)
    return reply({"request_id": trace_of(request).request_id, "results": results})


@router.delete(
    "/items/{item_id:path}",
    summary="Delete an item",
    responses=giving(DeleteAnswer, {"request_id": ANSWER["request_id"], **DELETED}),
)
async def delete(request: Request, item_id: str) -> Response:
    """It is not found any more when this is answered, whether it was there or not."""
    [result] = await _delete(parse(DeleteRequest, to_json({"item_ids": [item_id]})).item_ids, request)
    return reply({"request_id": trace_of(request).request_id, **result})


@router.get(
    "/items/{item_id:path}",
    summary="What is known of an item?",
    response_model=ItemAnswer,
    responses={404: {"model": ErrorBody, "description": "No item of that id."}, 503: ERRORS[503]},
)
async def get(request: Request, item_id: str) -> Response:
    """As the process that answers knows it."""
    model = service_of(request).model
    rows = model.catalogue.places([item_id])
    if rows[0] < 0:
        raise Unknown(f"item_id: {item_id!r} is not in the catalogue; put it with PUT /items")
    return reply({"request_id": trace_of(request).request_id, **_described(item_id, rows, model)})


async def _delete(ids: Sequence[str], request: Request) -> list[dict[str, Any]]:
    service = service_of(request)
    model, changes = service.model, service.metrics.changes
    try:
        with trace_of(request).stages("items"):
            there = await model.changes.delete(ids)
            await _tell(service)
    except NotStored:
        changes.labels("delete", "not_stored").inc(len(ids))
        raise
    changes.labels("delete", "stored").inc(len(ids))
    return [{"item_id": item, "deleted": deleted} for item, deleted in zip(ids, there, strict=True)]


async def _tell(service: Service) -> None:
    """Have the canary know of the change, whose users are not to see the item later than others."""
    if canary := service.choice.canary:
        with suppress(CacheAway):  # it follows when Redis is back
            await canary.changes.follow()
            await canary.changes.settle()


def _source(item: ColdItem | Invalid, model: Model) -> Source | Invalid:
    if isinstance(item, Invalid):
        return item
    try:
        if isinstance(asks.candidate(item, model.manifest, model.engine.features), str):
            raise Invalid("text: says nothing; give at least one of the fields item_text of /info")
        for name, values in item.attributes.items():
            if len(values) > VALUES:
                raise Invalid(f"attributes.{name}: has {len(values)} values; give at most {VALUES}")
    except Invalid as error:
        return error
    published = None if item.published is None else item.published.timestamp()
    return Source(item.item_id, item.text, item.attributes, item.numbers, published)


def _result(outcome: Source | ServiceError) -> dict[str, Any]:
    return {"status": 200, "item_id": outcome.item_id} if isinstance(outcome, Source) else failed(outcome)


def _described(item_id: str, rows: Any, model: Model) -> dict[str, Any]:
    slate, values = model.catalogue.stored(rows), model.catalogue.named_values
    published = float(slate.published[0])
    numbers = {column: float(slate.numbers(column)[0]) for column in model.catalogue.items.numbers}
    return {
        "item_id": item_id,
        "source": "bundle" if rows[0] < len(model.catalogue.items) else "runtime",
        "attributes": {name: values(name, slate.codes(name)[0]) for name in model.manifest.attributes},
        "numbers": {column: number for column, number in numbers.items() if not math.isnan(number)},
        "published": None if math.isnan(published) else datetime.fromtimestamp(published, tz=UTC),
        "tasks": model.recommender.told(slate.outputs(np.arange(1)))[0],
    }
