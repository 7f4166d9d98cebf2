"""What every answer says in its headers, and an error as an answer: the same whoever writes it.

Most errors are raised below the framework, and its middleware writes them. What is refused before it is a request of
the framework's is written to the connection as bytes, here.
"""

from collections.abc import Iterable

from pydantic_core import to_json
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from app.errors import ServiceError

Header = tuple[bytes, bytes]

SECURE: tuple[Header, ...] = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))
CLOSE: Header = (b"connection", b"close")


def common(name: str, version: str | None) -> list[Header]:
    """Headers of every answer; name: the request's id."""
    headers = [*SECURE, (b"x-request-id", name.encode())]
    if version:
        headers.append((b"x-model-version", version.encode()))
    return headers


def own(error: ServiceError) -> list[Header]:
    """Headers of an error: what its body is, and what it says beside it."""
    told = [(name.lower().encode(), value.encode()) for name, value in error.headers.items()]
    return [(b"content-type", b"application/json"), *told]


def body(error: ServiceError, name: str) -> tuple[Header, bytes]:
    """How long it is, and what it says."""
    said = to_json(error.body(name))
    return (b"content-length", b"%d" % len(said)), said


def raw(status: int, headers: Iterable[Header], said: bytes) -> bytes:
    """A whole answer as it goes over the line."""
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    return b"%b%b\r\n%b" % (STATUS_LINE[status], lines, said)
