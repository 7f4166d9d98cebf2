"""Values as Redis holds them. What is missing, damaged or of the wrong type reads as absent.

Vectors are little-endian float32 behind a checksum; events of a history are ["<item>","<event>",<unix seconds>].
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Row = NDArray[np.float32]
Record = tuple[str, str, float]  # item, event, unix seconds

LATEST = 1e11  # unix seconds that are none any more


@dataclass(frozen=True)
class Stored:
    """What Redis knows of one user."""

    history: tuple[Record, ...] = ()
    profile: Mapping[str, Any] = field(default_factory=dict)
    digest: bytes = b""
    vector: Row | None = None


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


def stored(results: Sequence[Any], width: int) -> Stored:
    """A user from the list, the record and the vector (width,) as Redis gave them."""
    history, profile, vector = results
    row = unpack(vector, width, tag=16)
    return Stored(
        history=_records(history) if isinstance(history, list) else (),
        profile=_object(profile) if isinstance(profile, bytes) else {},
        digest=vector[4:20] if row is not None else b"",
        vector=row,
    )


def _records(entries: Sequence[bytes]) -> tuple[Record, ...]:
    try:
        parsed = json.loads(b"[%b]" % b",".join(entries))  # one call for all: the common case
    except (ValueError, RecursionError):
        parsed = [_value(entry) for entry in entries]
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
