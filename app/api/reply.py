"""What endpoints share: the service behind a request, and answers as ready bytes."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

from fastapi import Request, Response
from pydantic import BaseModel
from pydantic_core import to_json
from starlette.types import Receive, Scope, Send

from app.api.schema import ErrorBody
from app.breaks import Breaks
from app.service import Service

AT_ONCE = 100_000  # bytes that are sent together
REFUSED = "Not usable: the message names the field and the fix."
ERRORS: dict[int | str, dict[str, Any]] = {
    413: {
        "model": ErrorBody,
        "description": "More bytes, candidates or entries than the limits in /info, or than the key may have.",
    },
    415: {"model": ErrorBody, "description": "A compressed body."},
    422: {"model": ErrorBody, "description": REFUSED},
    503: {"model": ErrorBody, "description": "No model yet, or a change that could not be stored."},
}
LATE: dict[int | str, dict[str, Any]] = {
    504: {"model": ErrorBody, "description": "The deadline has passed; nothing more is done for the request."}
}


def service_of(request: Request) -> Service:
    """The service that the app holds."""
    service: Service = request.app.state.service
    return service


class Json(Response):
    """Bytes that are JSON already."""

    media_type = "application/json"

    def __init__(self, body: bytes, status: int = 200) -> None:
        self.status_code = status
        self.body = body
        self.background = None
        self.raw_headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]


class Pieces(Json):
    """The same in pieces, few or many: large ones are sent some at a time, and others have their turn between."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        super().__init__(b"")
        self._pieces = pieces
        self.headers["content-length"] = str(sum(map(len, pieces)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        del scope, receive
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        breaks, last = Breaks(), b""
        for some in self._some():
            if last:
                await send({"type": "http.response.body", "body": last, "more_body": True})
                await breaks.rest()
            last = some
        await send({"type": "http.response.body", "body": last})

    def _some(self) -> Iterator[bytes]:
        """So many as are sent at once."""
        begin = size = 0
        for number, piece in enumerate(self._pieces, 1):
            size += len(piece)
            if size >= AT_ONCE or number == len(self._pieces):
                yield b"".join(self._pieces[begin:number])
                begin, size = number, 0


class Begun(Json):
    """The same, begun to be sent at once and outside of any task; whoever awaits it sees it to its end.

    Most end where they begin: one waits only if what was sent before it is not read yet.
    """

    def __init__(self, body: bytes, status: int, send: Send) -> None:
        super().__init__(body, status)
        self._sending = self._send(send)
        self._waits: object = None
        self._sent = False
        self._go_on()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See it to its end."""
        del scope, receive, send
        await self

    def __await__(self) -> Generator[Any, None, None]:
        while not self._sent:
            yield self._waits
            self._go_on()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": self.body})

    def _go_on(self) -> None:
        try:
            self._waits = self._sending.send(None)
        except StopIteration:
            self._sent = True


def reply(body: Mapping[str, Any], status: int = 200) -> Response:
    """JSON; the answer models describe it, and a test holds it to them."""
    return Json(to_json(body), status)


def taking(model: type[BaseModel], example: Mapping[str, Any]) -> dict[str, Any]:
    """The OpenAPI entry of a body that the endpoint reads itself."""
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": schema, "example": example}},
        }
    }


def giving(model: type[BaseModel], example: Mapping[str, Any]) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entry of an answer with its example, and of the errors."""
    return {200: {"model": model, "content": {"application/json": {"example": example}}}} | ERRORS
