"""Where requests come in: uvicorn's HTTP protocol, which here refuses what is too much before it is parsed.

A refusal must cost next to nothing, or refusing becomes what the service is busy with: none of the framework sees
it, no task is made for it, and its body is dropped as it comes. Probes, and all else that asks with GET, always pass.
"""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

from pydantic_core import to_json
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from app.connection import Connection
from app.errors import Overloaded
from app.joined import Joined
from app.main import BUSY
from app.trace import KEY, Trace, request_id

Headers = Sequence[tuple[bytes, bytes]]

FREE = (b"GET", b"HEAD", b"OPTIONS")
ADMIN = b"/admin/"  # a version that cannot keep up is rolled back under overload
UNKNOWN = 16_000  # bytes of a body whose length was not told
NDJSON = b"application/x-ndjson"
ROUND = 400_000  # bytes of a stream that are worked on at once
LINE = b"HTTP/1.1 429 Too Many Requests\r\n"
ERROR = Overloaded("more is asked for than can be answered in time; try again")
DONE = cast(RequestResponseCycle, SimpleNamespace(response_complete=True, message_event=asyncio.Event()))


class Intake(Connection):
    """One connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """What is answered here goes out joined."""
        super().connection_made(cast(asyncio.Transport, Joined(transport)))

    def on_headers_complete(self) -> None:
        """A request begins, or is refused."""
        self.check_head()
        free = self.parser.get_method() in FREE or self.url.startswith(ADMIN)
        if free or self.service.admission.admits(_size(self.headers)):
            super().on_headers_complete()
            return
        metrics = self.service.metrics
        metrics.rejected.labels(ERROR.type).inc()
        metrics.requests.labels(self._endpoint(), ERROR.status).inc()
        if self._plain:
            self._answer()
        else:
            app, self.app = self.app, _refuse
            super().on_headers_complete()
            self.app = app

    def _endpoint(self) -> str:
        path = self.url.partition(b"?")[0].decode("latin-1").removeprefix("/v1")
        return path if path in BUSY else "other"

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits for an answer here waits no more."""
        if self.cycle and not self.cycle.response_complete:
            trace: Trace | None = self.cycle.scope.get(KEY)  # type: ignore[assignment]
            if trace and trace.patience:
                trace.patience.leave()
        super().connection_lost(exc)

    @property
    def _plain(self) -> bool:
        """Whether an answer may be written at once: nobody before it waits for his, and the connection stays."""
        free = self.cycle is None or self.cycle.response_complete
        return free and self.parser.should_keep_alive() and not self.expect_100_continue

    def _answer(self) -> None:
        headers, body = _refusal(self.headers)
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.cycle = DONE
        self.transport.writelines([b"%b%b\r\n%b" % (LINE, lines, body)])  # nothing of it waits for a turn
        self.on_response_complete()


async def _refuse(scope: Scope, _: Receive, send: Send) -> None:
    """The same answer as an app."""
    headers, body = _refusal(scope["headers"])
    await send({"type": "http.response.start", "status": ERROR.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _refusal(headers: Headers) -> tuple[Headers, bytes]:
    name = request_id(headers)
    body = to_json(ERROR.body(name))
    return [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"retry-after", b"%d" % ERROR.retry_after),
        (b"x-request-id", name.encode()),
    ], body


def _size(headers: Headers) -> int:
    """Bytes of a body, as far as it is worked on at once."""
    size, stream = UNKNOWN, False
    for name, value in headers:
        if name == b"content-length":
            size = int(value)
        elif name == b"content-type":
            stream = value.startswith(NDJSON)
    return min(size, ROUND) if stream else size
