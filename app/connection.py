"""One connection, as uvicorn's HTTP protocol handles it, within limits: how much there is before a body, how long a
request may take to arrive, how many connections there are.

    the first byte ─▶ the last header ─▶ the last byte of the body        by then all is well, or 408
    └──── at most HEAD bytes, or 431 ──┘

uvicorn itself waits for ever for a request that does not end, and keeps headers of any length.
"""

import os
from asyncio import Transport
from typing import Any

from pydantic_core import to_json
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from app.errors import HeadersTooLarge, Malformed, ServiceError, TooSlow
from app.service import Service

HEAD = 32_768  # bytes of a request's line and headers
END = [
    (b"connection", b"close"),
    (b"content-type", b"application/json"),
    (b"x-content-type-options", b"nosniff"),
]


class Connection(HttpToolsProtocol):
    """Refuses what goes too far, and then hangs up."""

    def __init__(self, config: Any, *given: Any, **named: Any) -> None:
        super().__init__(config, *given, **named)
        self.service: Service = config.app.state.service
        self._since: float | None = None  # when the request that arrives began to
        self._head: int | None = 0  # bytes of its line and headers that came before; None: they are complete
        self._wrong: ServiceError = Malformed("this is no HTTP/1.1 request")

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Taken, or refused if there are too many."""
        super().connection_made(transport)
        self._since = self.loop.time()
        if len(self.connections) > self.service.settings.max_connections:
            self._count("connections")
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Some bytes; a head that has not ended is counted."""
        if self._since is None:
            self._since = self.loop.time()
        headers = self.headers  # another list for each request
        super().data_received(data)
        if self._head is not None and self.headers is headers:
            self._head += len(data)
            if self._head > HEAD:
                self._refuse(_large())

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._head = 0
        if self._since is None:
            self._since = self.loop.time()

    def check_head(self) -> None:
        """To be called when the headers are complete; raises if they are too many, and uvicorn then refuses."""
        self._head = None
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > HEAD:
            self._wrong = _large()
            raise self._wrong

    def on_message_complete(self) -> None:
        """All of it is there."""
        self._since = None
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls for a request that could not be read."""
        del msg
        self._refuse(self._wrong)

    def look(self, now: float) -> None:
        """Hang up if a request takes too long to arrive."""
        late = self._since is not None and now - self._since > self.service.settings.receive_seconds
        if late and not self.flow.read_paused:
            self._refuse(TooSlow("the request took too long to arrive; send it faster, or in several"))

    def _refuse(self, error: ServiceError) -> None:
        """Answer if nobody else does, and hang up."""
        if self.transport.is_closing():
            return
        self._count(error.type)
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            body = to_json(error.body(os.urandom(16).hex()))
            lines = [b"%b: %b\r\n" % header for header in (*END, (b"content-length", b"%d" % len(body)))]
            self.transport.write(b"".join([STATUS_LINE[error.status], *lines, b"\r\n", body]))
        self.transport.close()

    def _count(self, reason: str) -> None:
        self.service.metrics.rejected.labels(reason).inc()


def _large() -> ServiceError:
    return HeadersTooLarge(f"the headers have more than {HEAD} bytes; send less of them")
