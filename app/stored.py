"""Values as Redis holds them. What is missing, damaged or of the wrong type reads as absent.

Vectors are little-endian float32 behind a checksum; events of a history are ["<item>","<event>",<unix seconds>].
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Row = NDArray[np.float32]
Record = tuple[str, str, float]  # item, event, unix seconds

DIGEST = 16  # bytes of the digest of a history
LATEST = 1e11  # unix seconds that are none any more


SPLIT = b",\n"  # between events: JSON as we write it has no line breaks


@dataclass(frozen=True, eq=False)
class Stored:
    """What Redis knows of one user, as it came; read when it is asked for.

    events: of the history, newest first, SPLIT between them; record: of the profile; cached: the vector's value, of
    `width` floats behind the digest of the history that it was computed from. The same object is the same user's
    state: what was made of it once stays true.
    """

    events: bytes = b""
    record: bytes = b""
    cached: bytes = b""
    width: int = 0

    @property
    def history(self) -> tuple[Record, ...]:
        """Events, those that came first first."""
        return _records(self.events) if self.events else ()

    @property
    def profile(self) -> Mapping[str, Any]:
        """The user's record."""
        return _object(self.record) if self.record else {}

    @cached_property
    def vector(self) -> Row | None:
        """The vector (width,), None if it is absent or damaged."""
        return unpack(self.cached, self.width, tag=DIGEST)

    @property
    def digest(self) -> bytes:
        """That of the history behind the vector."""
        return self.cached[4 : 4 + DIGEST] if self.vector is not None else b""

    @property
    def size(self) -> int:
        """About how many bytes it takes, with all that is made of it."""
        return 2_000 + 2 * (len(self.events) + len(self.record) + len(self.cached))


def pack(row: Row, tag: bytes = b"") -> bytes:
    """Checksum (4 bytes), tag, then the row's float32 values."""
    body = tag + row.astype("<f4").tobytes()
    return zlib.crc32(body).to_bytes(4, "little") + body


def unpack(value: Any, width: int, tag: int = 0) -> Row | None:
    """The row of `width` values behind a tag of so many bytes; None if it is absent or damaged."""
    if not isinstance(value, bytes) or len(value) != 4 + tag + 4 * width:
        return None
    if zlib.crc32(memoryview(value)[4:]).to_bytes(4, "little") != value[:4]:
        return None
    return np.frombuffer(value, dtype="<f4", offset=4 + tag)


def stored(results: Sequence[Any], width: int, before: Stored | None = None) -> Stored:
    """A user from the list, the record and the vector as Redis gave them; `before` itself if nothing has changed."""
    history, profile, vector = results
    events = SPLIT.join(history) if isinstance(history, list) else b""
    record = profile if isinstance(profile, bytes) else b""
    cached = vector if isinstance(vector, bytes) else b""
    if before is not None and (before.events, before.record, before.cached) == (events, record, cached):
        return before
    return Stored(events, record, cached, width)


def _records(events: bytes) -> tuple[Record, ...]:
    try:
        parsed = json.loads(b"[%b]" % events)  # one call for all: the common case
    except (ValueError, RecursionError):
        parsed = [_value(event) for event in events.split(SPLIT)]
    return tuple((entry[0], entry[1], float(entry[2])) for entry in reversed(parsed) if _is_record(entry))


def _is_record(entry: Any) -> bool:
    match entry:
        case [str(), str(), float() | int() as time]:
            return 0.0 <= time < LATEST  # also refuses NaN, which JSON as Python reads it may hold
    return False


def _object(value: bytes) -> dict[str, Any]:
    parsed = _value(value)
    return parsed if isinstance(parsed, dict) else {}


def _value(value: bytes) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None


def seconds(value: Any) -> float | None:
    """Unix seconds as Redis has them; None for anything else."""
    try:
        time = float(value)
    except (TypeError, ValueError):
        return None
    return time if 0.0 <= time < LATEST else None
