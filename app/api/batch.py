"""POST /recommend/batch: many requests in one call, each succeeding or failing alone.

JSON in, JSON out; or NDJSON (application/x-ndjson), a request a line in and an answer a line out,
streamed in the order given. The lines are read before the first answer: many clients send all of a
body before they read, and would wait for us as we for them.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from itertools import islice
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from pydantic_core import to_json

from app.api import ask as asks
from app.api import recommend
from app.api.body import parse_or, read
from app.api.entries import parse_each
from app.api.recommend import answer
from app.api.reply import LATE, Pieces, giving, service_of, taking
from app.api.schema import AT_LEAST_ONE, Each, RecommendRequest, Strict
from app.breaks import Breaks
from app.choice import Asked, Choice, each
from app.errors import Invalid, ServiceError
from app.model import Model
from app.ranker import Answer
from app.service import Service
from app.trace import Trace, trace_of

router = APIRouter(tags=["recommend"])

NDJSON = "application/x-ndjson"
AT_ONCE = 64  # lines that are answered together
BYTES = 100_000  # of them: what is parsed at once takes the event loop a few milliseconds

EXAMPLE = {"requests": [recommend.EXAMPLE, {"user_id": "u7", "k": 5}]}
ANSWER = {
    "request_id": recommend.ANSWER["request_id"],
    "results": [
        {"status": 200, **recommend.ANSWER},
        {"status": 422, "error": "k: Input should be less than or equal to 500", "error_type": "validation"},
    ],
}


class BatchRequest(Strict):
    """Requests as /recommend takes them."""

    requests: Each[RecommendRequest] = Field(
        description="At most the limit in /info.", json_schema_extra=AT_LEAST_ONE
    )


class BatchAnswer(BaseModel):
    """One result a request, in the order given: an answer of /recommend, or an error, each with its status."""

    request_id: str
    results: list[dict[str, Any]]


@router.post(
    "/recommend/batch",
    summary="Rank items for many users",
    openapi_extra=taking(BatchRequest, EXAMPLE),
    responses=giving(BatchAnswer, ANSWER) | LATE,
)
async def batch(request: Request) -> Response:
    """Each request succeeds or fails alone; NDJSON in (application/x-ndjson) is NDJSON out, streamed."""
    service, trace = service_of(request), trace_of(request)
    choice, settings = service.choice, service.settings
    if request.headers.get("content-type", "").partition(";")[0].strip() == NDJSON:
        body = await read(request, settings.max_stream_bytes)
        return StreamingResponse(_stream(body, service, choice, trace), media_type=NDJSON)
    body = await read(request, settings.max_body_bytes)
    _, entries = await parse_each(BatchRequest, RecommendRequest, body, "requests", settings.max_batch)
    if not entries:
        raise Invalid("requests: is empty; give at least one request")
    service.metrics.batch.labels("/recommend/batch").observe(len(entries))
    results = await _results(entries, service, choice, trace)
    head = b'{"request_id":%b,"results":[' % to_json(trace.request_id)
    commas = (piece for each in results[1:] for piece in (b",", each))
    return Pieces([head, results[0], *commas, b"]}"])


async def _stream(body: bytes, service: Service, choice: Choice, trace: Trace) -> AsyncIterator[bytes]:
    lines, count = BytesIO(body), 0  # which shares the bytes: no second copy
    while some := list(islice(_fitting(lines), AT_ONCE)):
        entries = [parse_or(RecommendRequest, line) for line in some if line.strip()]
        count += len(entries)
        results = await _results(entries, service, choice, trace, apart=True) if entries else []
        yield b"".join(result + b"\n" for result in results)
        await asyncio.sleep(0)  # lines that are blank or wrong wait for nobody: others have their turn
    service.metrics.batch.labels("/recommend/batch").observe(count)


def _fitting(lines: BytesIO) -> Iterator[bytes]:
    """The next lines, up to the one with which they have so many bytes."""
    end = lines.tell() + BYTES
    while lines.tell() < end and (line := lines.readline()):
        yield line


async def _results(
    entries: list[RecommendRequest | Invalid],
    service: Service,
    choice: Choice,
    trace: Trace,
    *,
    apart: bool = False,
) -> list[bytes]:
    """Answers and errors as JSON in the order of the entries, from one run of the use case a version.

    apart: each spends its key's candidates by itself, as their answer has begun; else all of them do or none.
    All is let go of one by one, the entries too, which are taken out: to free all that hundreds of thousands of ids
    take is no short work either.
    """
    breaks, checked = Breaks(), list[Asked | ServiceError]()
    entries.reverse()
    while entries:
        checked.append(_asked(entries.pop(), service, choice, trace, apart=apart))
        await breaks.rest()
    asked = [one for one in checked if not isinstance(one, ServiceError)]
    if not apart:
        trace.spend(asks.size(asked, service.settings))
    rankings = await each(asked, lambda model, some: model.recommender.rank(some, trace.stages))
    asked.clear()
    checked.reverse()
    rankings.reverse()
    found = []
    while checked:
        one = checked.pop()
        told = failed(one) if isinstance(one, ServiceError) else _result(one[0], rankings.pop(), trace)
        found.append(to_json(told))
        await breaks.rest()
    return found


def _asked(
    entry: RecommendRequest | Invalid, service: Service, choice: Choice, trace: Trace, *, apart: bool
) -> Asked | ServiceError:
    if isinstance(entry, ServiceError):
        return entry
    model = trace.choose(choice, entry.user_id)
    try:
        asked = model, asks.ask(entry, model, service.settings)
        if apart:
            trace.spend(asks.size([asked], service.settings))
        return asked
    except ServiceError as error:
        return error


def _result(model: Model, ranking: Answer, trace: Trace) -> dict[str, Any]:
    if isinstance(ranking, ServiceError):
        return failed(ranking)
    return {"status": 200} | answer(ranking, model, trace.request_id)


def failed(error: ServiceError) -> dict[str, Any]:
    """An entry that failed: its status and what is wrong."""
    return {"status": error.status} | error.body()
