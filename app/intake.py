"""Where requests come in: uvicorn's HTTP protocol, which here refuses what is too much before it is parsed.

A refusal must cost next to nothing, or refusing becomes what the service is busy with: none of the framework sees
it, no task is made for it, and its body is dropped as it comes. Probes, and all else that asks with GET, always pass.
"""

import asyncio
import time
from collections.abc import Sequence
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import cast

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from app import refusal
from app.connection import Connection
from app.errors import Overloaded
from app.joined import Joined
from app.main import BUSY
from app.patience import SOCKET
from app.refusal import Header
from app.service import Service
from app.trace import KEY, READ, Trace, request_id

Headers = Sequence[Header]

ENDPOINTS = {(prefix + path).encode(): path for path in BUSY for prefix in ("", "/v1")}
FREE = (b"GET", b"HEAD", b"OPTIONS")
ADMIN = b"/admin/"  # a version that cannot keep up is rolled back under overload
UNKNOWN = 16_000  # bytes of a body whose length was not told
NDJSON = b"application/x-ndjson"
ROUND = 400_000  # bytes of a stream that are worked on at once
ERROR = Overloaded("more is asked for than can be answered in time; try again")
OWN = refusal.own(ERROR)
DONE = cast(RequestResponseCycle, SimpleNamespace(response_complete=True, message_event=asyncio.Event()))


class Intake(Connection):
    """One connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """What is answered here goes out joined."""
        super().connection_made(cast(asyncio.Transport, Joined(transport)))
        self._socket = transport.get_extra_info("socket")

    def on_headers_complete(self) -> None:
        """A request begins, or is refused."""
        self.check_head()
        free = self.parser.get_method() in FREE or self.url.startswith(ADMIN)
        if free or self.service.admission.admits(_size(self.headers)):
            scope: dict[str, object] = self.scope  # type: ignore[assignment]
            scope[SOCKET], scope[READ] = self._socket, time.perf_counter()
            super().on_headers_complete()
            return
        metrics = self.service.metrics
        metrics.rejected.labels(ERROR.type).inc()
        metrics.requests.labels(self._endpoint(), ERROR.status).inc()
        if self._plain:
            self._answer()
        else:
            app, self.app = self.app, partial(_refuse, self.service)
            super().on_headers_complete()
            self.app = app

    def _endpoint(self) -> str:
        return ENDPOINTS.get(self.url.partition(b"?")[0], "other")

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits for an answer here waits no more."""
        if self.cycle and not self.cycle.response_complete:
            trace: Trace | None = self.cycle.scope.get(KEY)  # type: ignore[assignment]
            if trace and trace.patience:
                trace.patience.leave()
        super().connection_lost(exc)

    @property
    def _plain(self) -> bool:
        """Whether an answer may be written at once: nobody before it waits for his, those that were written are read,
        and the connection stays."""
        free = self.cycle is None or self.cycle.response_complete
        stays = (
            self.parser.should_keep_alive() and not self.parser.should_upgrade() and not self.service.draining
        )
        return free and stays and not self.flow.write_paused and not self.expect_100_continue

    def _answer(self) -> None:
        form, size = _form(tuple(self.server_state.default_headers), self.service.name)
        name = request_id(self.headers).encode()
        self.cycle = DONE
        self.transport.writelines([form % (size + len(name), name, name)])  # nothing of it waits for a turn
        self.on_response_complete()


@lru_cache(maxsize=2)
def _form(date: tuple[Header, ...], version: str | None) -> tuple[bytes, int]:
    """A refusal for a second, but for its length and twice its id; and how long it is without that.

    What is put in holds no sign that JSON writes otherwise.
    """
    _, said = refusal.body(ERROR, "%b")
    escaped = version and version.replace("%", "%%")
    headers = [*date, *OWN, (b"content-length", b"%d"), *refusal.common("%b", escaped)]
    return refusal.raw(ERROR.status, headers, said), len(said) - len(b"%b")


async def _refuse(service: Service, scope: Scope, _: Receive, send: Send) -> None:
    """The same answer as an app."""
    headers, said = _refusal(scope["headers"], service)
    await send({"type": "http.response.start", "status": ERROR.status, "headers": headers})
    await send({"type": "http.response.body", "body": said})


def _refusal(sent: Headers, service: Service) -> tuple[Headers, bytes]:
    name = request_id(sent)
    size, said = refusal.body(ERROR, name)
    leave = [refusal.CLOSE] if service.draining else []
    return [*OWN, size, *refusal.common(name, service.name), *leave], said


def _size(headers: Headers) -> int:
    """Bytes of a body, as far as it is worked on at once."""
    size, stream = UNKNOWN, False
    for name, value in headers:
        if name == b"content-length":
            size = int(value)
        elif name == b"content-type":
            stream = value.startswith(NDJSON)
    return min(size, ROUND) if stream else size
