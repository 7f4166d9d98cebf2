"""Around every request: its id, its time by stage, its count, and one body for whatever goes wrong."""

import logging
import os
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastapi import Request, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import refusal
from app.choice import Choice
from app.errors import ServiceError
from app.holder import Holder
from app.labels import Label
from app.metrics import Metrics, Stages
from app.model import Model
from app.patience import Patience
from app.service import Service

if TYPE_CHECKING:
    from app.spans import Spans

log = logging.getLogger(__name__)

KEY = "chorus.trace"
READ = "chorus.read"  # when the head of a request was complete, in its scope
PAGES = ("/docs", "/docs/oauth2-redirect", "/redoc")
POLICY = (  # what FastAPI's pages load, and nothing else
    b"default-src 'none'; script-src 'unsafe-inline' https://cdn.jsdelivr.net; worker-src blob:; "
    b"style-src 'unsafe-inline' https://cdn.jsdelivr.net https://fonts.googleapis.com; "
    b"font-src https://fonts.gstatic.com; img-src data: https:; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
GOOD_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


@dataclass
class Trace:
    """What one request gathers on its way; answering: names of the versions that answer it; holder: of its key."""

    request_id: str
    stages: Stages
    start: float = field(default_factory=time.perf_counter)
    cache: str | None = None
    patience: Patience[Response] | None = None
    holder: Holder | None = None
    status: int = 0
    answering: dict[Label, str] = field(default_factory=dict)

    def choose(self, choice: Choice, user: str | None) -> Model:
        """The version that answers a user; where nobody is named the request's id decides."""
        label, model = choice.of(self.request_id if user is None else user)
        self.answering[label] = model.name
        return model

    def spend(self, candidates: int) -> None:
        """Have so many scored; TooOften or TooLarge if they are more than its key may."""
        if self.holder:
            self.holder.spend(candidates)

    def close(self, metrics: Metrics) -> None:
        """Count it, by stages and by versions."""
        self.stages.close()
        seconds = time.perf_counter() - self.start
        for label in self.answering:
            metrics.answers.labels(label, self.status).inc()
            metrics.answered_in.labels(label).observe(seconds)

    def timing(self) -> str:
        """The Server-Timing header: milliseconds by stage."""
        stages = [*self.stages.so_far.items(), ("total", time.perf_counter() - self.start)]
        return ", ".join([f"{name};dur={1_000 * seconds:.2f}" for name, seconds in stages])


def trace_of(request: Request) -> Trace:
    """The trace of a request inside the middleware."""
    trace: Trace = request.scope[KEY]
    return trace


class Tracing:
    """The middleware, as plain ASGI: nothing is buffered.

    endpoint: under which all that passes is counted; None: the router says it.
    """

    def __init__(self, app: ASGIApp, service: Service, endpoint: str | None = None) -> None:
        self._app = app
        self._service = service
        self._endpoint = endpoint
        self._waits = service.metrics.queues.labels("requests")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        metrics = self._service.metrics
        spans = self._service.spans
        stages = spans.stages(scope["path"], metrics) if spans else Stages(metrics)
        trace = scope[KEY] = Trace(request_id(scope["headers"]), stages)
        self._waits.observe(trace.start - scope.get(READ, trace.start))

        async def mark(message: Message) -> None:
            if message["type"] == "http.response.start":
                trace.status = message["status"]
                message["headers"] = [*message.get("headers", ()), *self._headers(trace, scope["path"])]
            await send(message)

        metrics.in_progress.inc()
        try:
            if error := self._refusal(trace, scope):
                metrics.rejected.labels(error.type).inc()
                await _fail(error, trace, mark)
            else:
                await self._app(scope, receive, mark)
        except Exception:  # the last resort: whatever it was, the caller gets the one body and an id to quote
            log.exception("request %s failed (%s)", trace.request_id, self._version(trace))
            if trace.status:
                raise
            await _fail(ServiceError("the service failed; quote the request_id"), trace, mark)
        finally:
            metrics.in_progress.dec()
            self._service.admission.finished()
            metrics.answered(
                self._endpoint or _endpoint(scope), trace.status, time.perf_counter() - trace.start
            )
            trace.close(metrics)
            if spans:
                self._tell(spans, trace, scope)

    def _refusal(self, trace: Trace, scope: Scope) -> ServiceError | None:
        """Why a request may not pass."""
        try:
            trace.holder = self._service.gate.admit(scope["path"], scope["headers"])
        except ServiceError as error:
            return error
        return None

    def _tell(self, spans: "Spans", trace: Trace, scope: Scope) -> None:
        route = self._endpoint or _endpoint(scope)
        told = {
            "http.request.method": scope["method"],
            "http.route": route,
            "http.response.status_code": trace.status,
            "chorus.request_id": trace.request_id,
            "chorus.version": self._version(trace) or "",
        }
        spans.tell(
            f"{scope['method']} {route}", trace.stages, start=trace.start, headers=scope["headers"], told=told
        )

    def _version(self, trace: Trace) -> str | None:
        return ", ".join(trace.answering.values()) or self._service.name

    def _headers(self, trace: Trace, path: str) -> list[refusal.Header]:
        headers = refusal.common(trace.request_id, self._version(trace))
        if path in PAGES:
            headers.append((b"content-security-policy", POLICY))
        headers.append((b"server-timing", trace.timing().encode()))
        if self._service.draining:
            headers.append(refusal.CLOSE)  # the next request of that caller goes to somebody who stays
        if trace.cache:
            headers.append((b"x-cache", trace.cache.encode()))
        return headers


async def _fail(error: ServiceError, trace: Trace, send: Send) -> None:
    size, said = refusal.body(error, trace.request_id)
    headers = [*refusal.own(error), size]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": said})


def request_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The one that a caller gave, if it is good, or a new one."""
    given = dict(headers).get(b"x-request-id", b"").decode("latin-1")
    return given if given and GOOD_ID.fullmatch(given) else os.urandom(16).hex()


def _endpoint(scope: Scope) -> str:
    route = scope.get("route")  # set by the router: a bounded set, whatever paths are asked for
    return str(route.path).removeprefix("/v1") if route is not None else "other"
