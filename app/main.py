"""The application: `create_app` opens nothing; the lifespan does, and lets go of it at the end."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import iter_route_contexts
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from app import openapi, patience
from app.api import admin, batch, events, health, info, items, recommend, score
from app.api.reply import Begun, reply, service_of
from app.errors import Expired, ServiceError
from app.patience import Patience
from app.service import Service
from app.settings import Settings
from app.trace import Tracing, trace_of

DESCRIPTION = """Ranked recommendations with every task's value, from one shared text encoder.

Errors are `{"error", "error_type", "request_id"}`; the message names the field and the fix.
`X-Request-Timeout-Ms` says how long a caller waits; `X-Request-Id` comes back with the answer."""

Endpoint = Callable[[Request], Awaitable[Response]]
BUSY: dict[str, Endpoint] = {
    "/recommend": recommend.recommend,
    "/recommend/batch": batch.batch,
    "/score": score.score,
    "/events": events.events,
}

PATIENT = ("/recommend", "/recommend/batch", "/score")  # what changes nothing, and may be left in the middle


class App(FastAPI):
    """FastAPI; but the busy endpoints, which it documents, are answered past its layers and its router."""

    def __init__(self, service: Service, **told: Any) -> None:
        super().__init__(**told)
        self.state.service = service
        self._direct = {
            prefix + path: Tracing(_bare(endpoint, patient=path in PATIENT), service, path)
            for path, endpoint in BUSY.items()
            for prefix in ("", "/v1")
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        direct = None
        if scope["type"] == "http" and scope["method"] == "POST":
            direct = self._direct.get(scope["path"])
        elif scope["type"] == "http" and scope["method"] == "HEAD":
            scope = {
                **scope,
                "method": "GET",
            }  # answered as that; the connection knows better, and sends no body
        if direct is None:
            await super().__call__(scope, receive, send)
        else:
            scope["app"] = self
            await direct(scope, receive, send)


def create_app(settings: Settings | None = None, *, service: Service | None = None) -> FastAPI:
    """An app for these settings, the environment's if none are given; or around a service of one's own."""
    service = service or Service(settings or Settings.load())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await service.stop()

    app = App(
        service,
        title="Chorus",
        version="1",
        description=DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,  # to wherever the Host header says, without TLS, key and all
    )
    app.openapi = partial(openapi.document, app)  # type: ignore[method-assign]
    for family in (recommend, batch, score, events, items):
        app.include_router(family.router)
        app.include_router(family.router, prefix="/v1", include_in_schema=False)
    for family in (health, info, admin):
        app.include_router(family.router)
    app.exception_handler(ServiceError)(_refuse)
    app.exception_handler(HTTPException)(_no_route)
    app.add_middleware(Tracing, service=service)
    return app


def _bare(endpoint: Endpoint, *, patient: bool) -> ASGIApp:
    """An endpoint as an app of its own, its errors answered; patient: for as long as its caller waits."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await (_in_time(endpoint, request, send) if patient else endpoint(request))
        except ServiceError as error:
            response = await _refuse(request, error)
        await response(scope, receive, send)

    return app


async def _in_time(endpoint: Endpoint, request: Request, send: Send) -> Response:
    """What an endpoint answers, or what its caller was told when his time was over."""
    service, trace = service_of(request), trace_of(request)
    until = patience.deadline(request.scope, trace.start, service.settings.request_timeout_ms / 1_000)
    trace.patience = Patience(trace.stages, service.metrics, until, partial(_told, trace.request_id, send))
    with trace.patience:
        trace.stages.check()  # what waited too long to be read is not even parsed
        response = await endpoint(request)
    return trace.patience.told or response


def _told(request_id: str, send: Send, late: Expired) -> Response:
    return Begun(to_json(late.body(request_id)), late.status, send)


async def _refuse(request: Request, error: ServiceError) -> Response:
    service: Service = request.app.state.service
    if error.status in (413, 429, 503):
        service.metrics.rejected.labels(error.type).inc()
    response = reply(error.body(trace_of(request).request_id), error.status)
    response.headers.update(error.headers)
    return response


async def _no_route(request: Request, error: HTTPException) -> Response:
    path, headers = request.scope["path"], {}
    kind, text = "not_found", f"there is no {path}; see /docs"
    if error.status_code == 405:
        kind, text = "validation", f"{path} does not take {request.method}; see /docs"
        headers["Allow"] = ", ".join(sorted(_methods(request.app, path)))
    body = {"error": text, "error_type": kind, "request_id": trace_of(request).request_id}
    response = reply(body, error.status_code)
    response.headers.update(headers)
    return response


def _methods(app: FastAPI, path: str) -> set[str]:
    """All that a path takes: the router knows those of the first route alone."""
    routes = [each for each in iter_route_contexts(app.routes) if each.path_regex.match(path)]
    methods = {method for each in routes for method in each.methods or ()}
    return methods | {"HEAD"} if "GET" in methods else methods
