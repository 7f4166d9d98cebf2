"""A body that is a batch. The entries of a large one are parsed apart: others have their turn between two of them.

    {"requests": [{...}, {...}], "more": 1}   ──▶   {...}  {...}   and the rest   {"requests": [], "more": 1}

What is wrong beyond its entries is parsed as a whole, and so told as ever.
"""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json, to_json

from app.api.body import MANY, check_size, explain, may_hold_nul, parse, parse_or, valid
from app.breaks import Breaks
from app.errors import Invalid

M = TypeVar("M", bound=BaseModel)
E = TypeVar("E", bound=BaseModel)

LARGE = 100_000  # bytes: what is parsed at once takes the event loop a few milliseconds
GAP = re.compile(r"[ \t\n\r]*")
VALUES = json.JSONDecoder()


async def parse_each(
    model: type[M], entry: type[E], body: bytes, key: str, most: int
) -> tuple[M, list[E | Invalid]]:
    """A batch whose entries lie below `key`: a wrong entry is an Invalid in its place, its path its own.

    TooLarge for more than `most` of them, before any is read.
    """
    if len(body) > LARGE:
        with suppress(ValueError, RecursionError):
            return await _apart(model, entry, body, key, most)
    return _whole(model, entry, body, key, most)


async def _apart(
    model: type[M], entry: type[E], body: bytes, key: str, most: int
) -> tuple[M, list[E | Invalid]]:
    """ValueError for what is to be parsed as a whole."""
    if may_hold_nul(body):
        raise ValueError("its places are told through all of the body")
    breaks, text = Breaks(), body.decode()
    begin = end = _begin(text, key)
    pieces: list[str] = []
    for piece in _pieces(text, begin):
        pieces.append(text[piece])
        end = piece.stop
        if len(pieces) > most:
            raise ValueError("there are too many")
        await breaks.rest()
    rest = text[:begin] + text[end:]
    json.loads(rest, object_pairs_hook=_once)
    return valid(model, rest.encode()), await _entries(entry, pieces, breaks)


async def _entries(entry: type[E], pieces: list[str], breaks: Breaks) -> list[E | Invalid]:
    found: list[E | Invalid] = []
    try:
        for piece in pieces:
            found.append(valid(entry, piece.encode()))
            await breaks.rest()
    except ValidationError as error:
        if error.error_count() > MANY:  # that is no fault of an entry, but of the body
            raise
        found.clear()
        for piece in pieces:
            found.append(parse_or(entry, to_json(from_json(piece))))
            await breaks.rest()
    return found


def _begin(text: str, key: str) -> int:
    """Where the first entry of the list below `key` begins."""
    place = _past(text, 0, "{")
    while True:
        name, place = VALUES.raw_decode(text, place)
        place = _past(text, place, ":")
        if name == key:
            return _past(text, place, "[")
        place = _past(text, VALUES.raw_decode(text, place)[1], ",")


def _pieces(text: str, place: int) -> Iterator[slice]:
    """The entries of a list, the first of which begins there."""
    while True:
        end = VALUES.raw_decode(text, place)[1]
        yield slice(place, end)
        if text.startswith("]", _gap(text, end)):
            return
        place = _past(text, end, ",")


def _past(text: str, place: int, mark: str) -> int:
    """Where something begins behind a mark."""
    place = _gap(text, place)
    if not text.startswith(mark, place):
        raise ValueError(f"there is no {mark}")
    return _gap(text, place + 1)


def _gap(text: str, place: int) -> int:
    """Where the next that is no blank stands."""
    found = GAP.match(text, place)
    return found.end() if found else place


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """ValueError if a name is there twice: which one counts depends on where it is."""
    names = dict(pairs)
    if len(names) < len(pairs):
        raise ValueError("a name is there twice")
    return names


def _whole(model: type[M], entry: type[E], body: bytes, key: str, most: int) -> tuple[M, list[E | Invalid]]:
    _check_entries(body, key, most)
    try:
        whole = valid(model, body)
    except ValidationError as error:
        if not _only_in(error, key):
            raise Invalid(explain(error, model, body)) from error
        sent = from_json(body)
        check_size(key, len(sent[key]), most)
        rest = parse(model, to_json(sent | {key: []}))
        return rest, [parse_or(entry, to_json(value)) for value in sent[key]]
    return whole, list(getattr(whole, key))


def _check_entries(body: bytes, key: str, most: int) -> None:
    """Count entries by parsing alone; only a body with so many objects can hold too many that are right."""
    if body.count(b"{") <= most:
        return
    with suppress(ValueError):  # what is wrong is told by the parser that follows
        sent = from_json(body)
        if isinstance(sent, dict) and isinstance(sent.get(key), list):
            check_size(key, len(sent[key]), most)


def _only_in(error: ValidationError, key: str) -> bool:
    """Whether all that is wrong is wrong inside entries of `key`."""
    if error.error_count() > MANY:
        return False
    places = (detail["loc"] for detail in error.errors(include_url=False, include_input=False))
    return all(len(place) >= 2 and place[0] == key and isinstance(place[1], int) for place in places)
