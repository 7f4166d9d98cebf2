"""Request bodies: read within a limit, parsed once, refused with the path of the field and the fix."""

import difflib
import re
from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError, from_json

from app.errors import Encoded, Gone, Invalid, TooLarge

M = TypeVar("M", bound=BaseModel)

SHOWN = 3  # errors told at once
MANY = 1_000  # errors beyond which none is looked at: they take longer to tell than to make
LONGEST = 128  # letters of a name that is told
PARTS = re.compile(r"[.\[]")  # before each step of a path
ESCAPE, NUL = b"\\", b"\\u0000"  # the only way to write one in JSON: raw control characters are no JSON
FIXES = {
    "extra_forbidden": "is no field here; remove it",
    "missing": "is missing; add it",
    "string_type": "must be a string; put it in quotes",
    "string_too_short": "is empty; leave it out or fill it",
    "string_unicode": "holds half of a surrogate pair; send valid Unicode",
    "finite_number": "must be a finite number",
    "timezone_aware": "has no offset; add Z or +02:00",
    "too_short": "is empty; leave it out or fill it",
}


async def read(request: Request, limit: int) -> bytes:
    """The body; TooLarge as soon as it has more bytes than the limit, whatever its headers say."""
    headers = dict(request.scope["headers"])
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise Encoded("content-encoding: bodies are taken as they are; send it uncompressed")
    announced = headers.get(b"content-length", b"")
    if announced.isdigit() and int(announced) > limit:
        raise TooLarge(_large(limit))
    chunks, size, more = [], 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise Gone("the caller hung up before the end of the body")
        chunks.append(message.get("body", b""))
        size, more = size + len(chunks[-1]), message.get("more_body", False)
        if size > limit:
            raise TooLarge(_large(limit))
    return b"".join(chunks)


def parse(model: type[M], body: bytes) -> M:
    """The body as a model; Invalid names the fields that are wrong."""
    try:
        return valid(model, body)
    except ValidationError as error:
        raise Invalid(explain(error, model, body)) from error


def check_size(what: str, size: int, limit: int) -> None:
    """Refuse more than the limit of /info."""
    if size > limit:
        raise TooLarge(f"{what}: {size} are more than {limit}; send them in several requests")


def parse_or(model: type[M], body: bytes) -> M | Invalid:
    """The body as a model, or what is wrong with it."""
    try:
        return parse(model, body)
    except Invalid as error:
        return error


def valid(model: type[M], body: bytes) -> M:
    """The body as a model; one search of the bytes spares every string the search for NUL."""
    found = model.model_validate_json(body)
    places = list(_nuls(from_json(body), ())) if may_hold_nul(body) else []
    if places:
        kind = PydanticCustomError("nul", "holds a NUL character; remove it")
        wrong: list[InitErrorDetails] = [{"type": kind, "loc": place, "input": None} for place in places]
        raise ValidationError.from_exception_data(model.__name__, wrong)
    return found


def may_hold_nul(body: bytes) -> bool:
    """Whether one is written anywhere; most bodies have no escape at all, which is seen many times as fast."""
    return ESCAPE in body and NUL in body


def _nuls(value: Any, place: tuple[int | str, ...]) -> Iterator[tuple[int | str, ...]]:
    """Where a string, or the name of a field below, holds a NUL."""
    if isinstance(value, str) and "\0" in value:
        yield place
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from [place] if "\0" in name else _nuls(inner, (*place, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _nuls(inner, (*place, number))


def explain(error: ValidationError, model: type[BaseModel], body: bytes) -> str:
    """What is wrong as sentences: `candidates[3].text: is missing; add it`."""
    if error.error_count() > MANY:
        return f"the body: has {error.error_count()} faults; send what /docs shows"
    details = error.errors(include_url=False, include_input=False)
    if details[0]["type"] == "json_invalid":
        return f"the body is not JSON: {details[0].get('ctx', {}).get('error')}"
    sent = from_json(body)
    found: dict[str, ErrorDetails] = {}
    above: set[str] = set()  # the places that hold one that was found
    for detail in sorted(details, key=_fit):
        path = _path(detail, sent)
        if path not in found and path not in above:
            found[path] = detail
            above.update(path[: part.start()] for part in PARTS.finditer(path))
    told = [_told(path, found[path], model) for path in islice(found, SHOWN)]
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return "; ".join(told) + more


def _fit(detail: ErrorDetails) -> tuple[int, bool]:
    """Of the branches of a union the one that came closest goes first."""
    return -len(detail["loc"]), detail["type"] != "finite_number"


def _told(path: str, detail: ErrorDetails, model: type[BaseModel]) -> str:
    return f"{path or 'the body'}: {_sentence(detail, model)}"


def _sentence(detail: ErrorDetails, model: type[BaseModel]) -> str:
    fix = FIXES.get(detail["type"])
    if fix is None:
        return detail["msg"].removeprefix("Value error, ")
    unknown = detail["type"] == "extra_forbidden"
    name = _short(detail["loc"][-1])
    near = difflib.get_close_matches(name, _names(model) - {name}, n=1) if unknown else []
    return f"{fix}, or did you mean {near[0]}?" if near else fix


def _path(detail: ErrorDetails, sent: Any) -> str:
    """Where it is in what was sent; parts of the location that name a union's branch are not there."""
    path, value = "", sent
    for part in detail["loc"]:
        if isinstance(part, int) and isinstance(value, list) and part < len(value):
            path, value = f"{path}[{part}]", value[part]
        elif isinstance(value, dict) and part in value:
            path, value = f"{path}.{_short(part)}" if path else _short(part), value[str(part)]
        elif detail["type"] == "missing" and part == detail["loc"][-1]:
            path = f"{path}.{part}" if path else str(part)
    return path


def _short(part: int | str) -> str:
    """A name, or the beginning of one that is longer than any may be."""
    name = str(part)
    return name if len(name) <= LONGEST else f"{name[:LONGEST]}…"


@cache
def _names(model: type[BaseModel]) -> set[str]:
    """Every field of a request and of what it holds."""
    schema = model.model_json_schema()
    parts = [schema, *schema.get("$defs", {}).values()]
    return {name for part in parts for name in part.get("properties", {})}


def _large(limit: int) -> str:
    return f"the body has more than {limit} bytes; send less at once"
