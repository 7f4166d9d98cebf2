"""One connection, as uvicorn's HTTP protocol handles it, within limits: how much there is beside bodies, how long a
request may take to arrive and an answer to be read, how many connections there are.

    the first byte ─▶ the last header ─▶ the last byte of the body        by then all is well, or 408
    └──── at most HEAD bytes, or 431 ──┘  └─ at most HEAD bytes between two bytes of it, or 431

uvicorn itself waits for ever for a request that does not end and for a caller who does not read, keeps headers of any
length, and has what follows the last chunk of a body for headers of the request. At its end it hangs up on all who
wait for nothing at that moment, though they may be sending: here they are heard a last time.
"""

import os
import sys
from asyncio import Transport
from contextlib import suppress
from fcntl import ioctl
from itertools import chain
from socket import SHUT_WR, socket
from termios import FIONREAD
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app import refusal
from app.errors import HeadersTooLarge, Malformed, ServiceError, TooSlow
from app.service import Service

HEAD = 32_768  # bytes of a request's line and headers
WAITING = 128  # requests that wait for an answer before theirs, beyond which nobody is heard
BODIES = (b"content-length", b"transfer-encoding")
LAST_SECONDS = 1.0  # for a last request once the service leaves: its answer says `Connection: close`


class Connection(HttpToolsProtocol):
    """Refuses what goes too far, and then hangs up."""

    def __init__(self, config: Any, *given: Any, **named: Any) -> None:
        super().__init__(config, *given, **named)
        self.service: Service = config.app.state.service
        self._since: float | None = None  # when the request that arrives began to
        self._idle = 0  # bytes that came since a request began or a byte of its body was there
        self._still = True  # neither has happened with the bytes at hand
        self._unread, self._read = 0, 0.0  # bytes that wait to be sent, and when some were last
        self._wrong: ServiceError = Malformed("this is no HTTP/1.1 request")

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Taken, or refused if there are too many."""
        super().connection_made(transport)
        self._since = self.loop.time()
        if len(self.connections) > self.service.settings.max_connections:
            self._count("connections")
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Some bytes; those that bring nothing of a body are counted: of a head, of trailers, between chunks."""
        if self._since is None:
            self._since = self.loop.time()
        self._still = True
        super().data_received(data)
        self._idle = self._idle + len(data) if self._still else 0
        if self._idle > HEAD:
            self._refuse(_large())

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._still = False
        if self._since is None:
            self._since = self.loop.time()

    def check_head(self) -> None:
        """To be called when the headers are complete; raises if they cannot be, and uvicorn then refuses."""
        if len(self.url) + sum(map(len, chain.from_iterable(self.headers))) > HEAD:
            self._wrong = _large()
            raise self._wrong
        if self.parser.should_upgrade() and any(name in BODIES for name, _ in self.headers):
            self._wrong = Malformed("HTTP/1.1 alone is spoken here; send no Upgrade with a body")
            raise self._wrong  # the parser takes what follows for another protocol, and then for a request
        if len(self.pipeline) > WAITING:
            raise Malformed("more requests wait than are heard on one connection; wait for answers")
        self.headers = self.headers.copy()  # what comes behind the body is no header of the request

    def on_headers_complete(self) -> None:
        """A request begins; if it would speak something else from here on, it is the last."""
        super().on_headers_complete()
        if self.parser.should_upgrade():
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Some of a body."""
        self._still = False
        super().on_body(body)

    def on_message_complete(self) -> None:
        """All of it is there."""
        self._since = None
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls for a request that could not be read."""
        del msg
        self._refuse(self._wrong)

    def look(self, now: float) -> None:
        """Hang up if a request takes too long to arrive, or an answer to be read."""
        most = self.service.settings.receive_seconds
        if self._since is not None and now - self._since > most and not self.flow.read_paused:
            self._refuse(TooSlow("the request took too long to arrive; send it faster, or in several"))
        unread = self.transport.get_write_buffer_size()
        if unread == 0 or unread != self._unread:
            self._unread, self._read = unread, now
        elif now - self._read > most:
            self._count(TooSlow.type)
            self.transport.abort()

    def shutdown(self) -> None:
        """The service leaves: answer what is asked for, or a last request, and hang up."""
        if self._quiet:
            self.loop.call_later(LAST_SECONDS, self.leave)
        else:
            super().shutdown()

    def leave(self) -> None:
        """Hang up if nobody asks for anything."""
        if self.transport.is_closing() or not self._quiet:
            return
        handle = self.transport.get_extra_info("socket").fileno()
        if int.from_bytes(ioctl(handle, FIONREAD, bytes(4)), sys.byteorder):  # it came, and is not read yet
            return
        with socket(fileno=os.dup(handle)) as line, suppress(OSError):
            line.shutdown(SHUT_WR)  # now: until the loop comes to it somebody may ask
        self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        """What uvicorn calls when nothing was asked for some seconds."""
        self.leave()

    @property
    def _quiet(self) -> bool:
        arriving = self._since is not None and self.scope is not None
        return not arriving and (self.cycle is None or self.cycle.response_complete)

    def _refuse(self, error: ServiceError) -> None:
        """Answer if nobody else does, and hang up."""
        if self.transport.is_closing():
            return
        self._count(error.type)
        if self.pipeline:  # it would be read as the answer to another one, if anything is read
            self.transport.abort()
            return
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            name, date = os.urandom(16).hex(), self.server_state.default_headers
            size, said = refusal.body(error, name)
            headers = [
                *date,
                *refusal.own(error),
                size,
                *refusal.common(name, self.service.name),
                refusal.CLOSE,
            ]
            self.transport.write(refusal.raw(error.status, headers, said))
        self.transport.close()

    def _count(self, reason: str) -> None:
        self.service.metrics.rejected.labels(reason).inc()


def _large() -> ServiceError:
    return HeadersTooLarge(f"the headers have more than {HEAD} bytes; send less of them")
