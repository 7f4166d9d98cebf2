"""POST /events: what users did and what they were shown, stored and counted in Redis.

The next answer takes it into account.
"""

import time
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from pydantic_core import from_json, to_json

from app.api import ask as asks
from app.api.body import read
from app.api.entries import parse_each
from app.api.reply import giving, reply, service_of, taking
from app.api.schema import AT_LEAST_ONE, Each, Id, Name, Number, Strict, Time, Values
from app.choice import Choice
from app.errors import Invalid, NotStored
from app.ledger import SEEN, StoredEvent
from app.metrics import Metrics
from app.model import Model
from app.trace import trace_of
from model_store.features import FeatureSet
from model_store.manifest import Manifest
from model_store.moment import VIEW

router = APIRouter(tags=["events"])

AHEAD = 60.0  # seconds that a sender's clock may be ahead of ours

EXAMPLE = {
    "events": [
        {
            "event_id": "7f3a",
            "user_id": "u42",
            "item_id": "i1",
            "event": "click",
            "timestamp": "2025-11-22T08:00:00+01:00",
        }
    ]
}
ANSWER = {"request_id": "0f8c2c9b0b6f4d0f9c4f4e0c5a3c9f11", "accepted": 1, "duplicates": 0, "rejected": []}


class Event(Strict):
    """One thing that happened: to an item, to each of a list that was shown, or a value told of an item."""

    event_id: Id | None = Field(
        None, description="Makes a retry harmless: an id is taken once a user and day."
    )
    user_id: Id | None = Field(None, description="May be left out where events are only counted.")
    item_id: Id | None = Field(
        None, description="May be new to the catalogue: it counts once a bundle knows it."
    )
    item_ids: Annotated[Values, Field(min_length=1)] | None = Field(
        None, description="In place of item_id: the list that was shown, in its order, with event `view`."
    )
    event: Name | None = Field(
        None,
        description="One of events or statistics.events of /info, or `view`; may be left out with values.",
    )
    timestamp: Time | None = Field(None, description="When it happened; the server's clock if left out.")
    values: dict[Name, Number] = Field(
        default_factory=dict, description="Numbers of the item from now on, by statistics.latest of /info."
    )


class EventsRequest(Strict):
    """Events in any order; one alone may also be sent as it is."""

    events: Each[Event] = Field(json_schema_extra=AT_LEAST_ONE)


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
    models, metrics = service.models, service.metrics
    body = _wrapped(await read(request, service.settings.max_body_bytes))
    _, given = await parse_each(EventsRequest, Event, body, "events", service.settings.max_batch)
    if not given:
        raise Invalid("events: is empty; give at least one event")
    now = time.time()
    checked = [_stored(event, models, now) for event in given]
    taken = [event for event in checked if isinstance(event, StoredEvent)]
    rejected = [{"index": n, "error": str(one)} for n, one in enumerate(checked) if isinstance(one, Invalid)]
    metrics.events.labels("rejected").inc(len(rejected))
    try:
        with trace.stages("redis"):
            stable, *beside = [model.state for model in models]
            results = await stable.push(taken, beside) if taken else []
    except NotStored:
        metrics.events.labels("not_stored").inc(len(taken))
        raise
    duplicates = results.count(SEEN)
    metrics.events.labels("accepted").inc(len(results) - duplicates)
    metrics.events.labels("duplicate").inc(duplicates)
    _count(taken, results, models[0], metrics)
    _attribute(taken, results, service.choice, metrics)
    counts = {"accepted": len(results), "duplicates": duplicates}
    return reply({"request_id": trace.request_id, **counts, "rejected": rejected})


def _count(events: Sequence[StoredEvent], results: Sequence[int], model: Model, metrics: Metrics) -> None:
    """How many items were counted, and how many too late for any window."""
    counted = model.engine.features.layout.events
    for event, late in zip(events, results, strict=True):
        if late != SEEN and event.event in counted:
            metrics.counted.labels("counted").inc(len(event.items) - late)
            metrics.counted.labels("late").inc(late)


def _attribute(
    events: Sequence[StoredEvent], results: Sequence[int], choice: Choice, metrics: Metrics
) -> None:
    """What users did, by the version that answers them: the same one all the time that there is a canary."""
    for event, late in zip(events, results, strict=True):
        if late != SEEN and event.user and event.event:
            label, _ = choice.of(event.user)
            metrics.outcomes.labels(event.event, label).inc(len(event.items))


def _wrapped(body: bytes) -> bytes:
    """A single event as a list of one."""
    try:
        sent = from_json(body)
    except ValueError:
        return body  # what is wrong with it is told by the parser that follows
    alone = isinstance(sent, dict) and "events" not in sent and not sent.keys().isdisjoint(Event.model_fields)
    return to_json({"events": [sent]}) if alone else body


def _stored(event: Event | Invalid, models: Sequence[Model], now: float) -> StoredEvent | Invalid:
    if isinstance(event, Invalid):
        return event
    faults = [_fault(event, model) for model in models]
    if fault := all(faults) and faults[0]:  # what one version knows is taken
        return fault
    try:
        moment = now if event.timestamp is None else event.timestamp.timestamp()
        if moment > now + AHEAD:
            raise Invalid(
                f"timestamp: lies {moment - now:.0f} s ahead of the service's clock; send when it happened, "
                "and set the sender's clock"
            )
    except Invalid as error:
        return error
    return StoredEvent(
        items=tuple(event.item_ids or ()) if event.item_id is None else (event.item_id,),
        time=moment,
        event=event.event or "",
        user=event.user_id,
        event_id=event.event_id,
        values=event.values,
    )


def _fault(event: Event, model: Model) -> Invalid | None:
    try:
        _check(event, model.manifest, model.engine.features)
    except Invalid as error:
        return error
    return None


def _check(event: Event, manifest: Manifest, features: FeatureSet) -> None:
    """Refuse what says nothing, names that the bundle does not know, and lists of anything but views."""
    counted, told = features.layout.events, features.layout.latest
    known = dict.fromkeys([*manifest.events[1:], *counted, *([VIEW] if features.shown else [])])
    if event.item_id is None and event.item_ids is None:
        raise Invalid("item_id: is missing; add it, or item_ids for a list that was shown")
    if event.item_id is not None and event.item_ids is not None:
        raise Invalid("item_ids: stands beside item_id; give one of them")
    if event.event is None and not event.values:
        raise Invalid("event: is missing; add it, or values alone")
    if event.event is not None:
        asks.check_name(event.event, list(known), "event")
    asks.check_names(event.values, told, "values")
    if event.item_ids is not None and event.event != VIEW:
        raise Invalid(f"item_ids: is for event {VIEW!r} alone; send an event with item_id for each item")
    if event.item_ids is not None and event.values:
        raise Invalid("values: of which item? Send them with item_id")
    if event.user_id is None and event.event is not None and event.event not in counted:
        raise Invalid(f"user_id: is missing, and {event.event!r} is kept of users alone; add it")
