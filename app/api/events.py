"""POST /events: what users did, stored in Redis; the next answer for them takes it into account."""

import time

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from pydantic_core import from_json, to_json

from app.api import ask as asks
from app.api.body import parse_each, read
from app.api.reply import giving, reply, service_of, taking
from app.api.schema import Id, Name, Strict, Time
from app.errors import Invalid, NotStored
from app.state import StoredEvent
from app.trace import trace_of
from model_store.manifest import Manifest

router = APIRouter(tags=["events"])

EXAMPLE = {
    "events": [
        {
            "event_id": "7f3a",
            "user_id": "u42",
            "item_id": "i1",
            "event": "click",
            "timestamp": "2026-11-22T08:00:00+01:00",
        }
    ]
}
ANSWER = {"request_id": "0f8c2c9b0b6f4d0f9c4f4e0c5a3c9f11", "accepted": 1, "duplicates": 0, "rejected": []}


class Event(Strict):
    """One thing that a user did."""

    event_id: Id | None = Field(
        None, description="Makes a retry harmless: an id is taken once a user and day."
    )
    user_id: Id
    item_id: Id = Field(description="May be new to the catalogue: it counts once a bundle knows it.")
    event: Name = Field(description="One of the bundle's events, see /info.")
    timestamp: Time | None = Field(None, description="When it happened; the server's clock if left out.")


class EventsRequest(Strict):
    """Events in any order; one alone may also be sent as it is."""

    events: list[Event]


class Rejected(BaseModel):
    """An event that was not taken, by its place in the request."""

    index: int
    error: str


class EventsAnswer(BaseModel):
    """How many are stored now; `duplicates` of them were stored before."""

    request_id: str
    accepted: int
    duplicates: int
    rejected: list[Rejected]


@router.post(
    "/events",
    summary="Tell what users did",
    openapi_extra=taking(EventsRequest, EXAMPLE),
    responses=giving(EventsAnswer, ANSWER),
)
async def events(request: Request) -> Response:
    """Stored before the answer, or 503: no event is lost silently."""
    service, trace = service_of(request), trace_of(request)
    model, metrics = service.model, service.metrics
    body = _wrapped(await read(request, service.settings.max_body_bytes))
    _, given = parse_each(EventsRequest, Event, body, "events")
    if not given:
        raise Invalid("events: is empty; give at least one event")
    asks.check_size("events", len(given), service.settings.max_batch)
    checked = [_stored(event, model.manifest) for event in given]
    taken = [event for event in checked if isinstance(event, StoredEvent)]
    rejected = [{"index": n, "error": str(one)} for n, one in enumerate(checked) if isinstance(one, Invalid)]
    metrics.events.labels("rejected").inc(len(rejected))
    try:
        with trace.stages("redis"):
            fresh = await model.state.push(taken) if taken else []
    except NotStored:
        metrics.events.labels("not_stored").inc(len(taken))
        raise
    metrics.events.labels("accepted").inc(sum(fresh))
    metrics.events.labels("duplicate").inc(len(fresh) - sum(fresh))
    counts = {"accepted": len(fresh), "duplicates": len(fresh) - sum(fresh)}
    return reply({"request_id": trace.request_id, **counts, "rejected": rejected})


def _wrapped(body: bytes) -> bytes:
    """A single event as a list of one."""
    try:
        sent = from_json(body)
    except ValueError:
        return body  # what is wrong with it is told by the parser that follows
    return to_json({"events": [sent]}) if isinstance(sent, dict) and "item_id" in sent else body


def _stored(event: Event | Invalid, manifest: Manifest) -> StoredEvent | Invalid:
    if isinstance(event, Invalid):
        return event
    try:
        asks.check_event(event.event, manifest, "event")
    except Invalid as error:
        return error
    moment = time.time() if event.timestamp is None else event.timestamp.timestamp()
    return StoredEvent(event.user_id, (event.item_id, event.event, moment), event.event_id)
