"""What the peers find in Redis: the vectors that Chorus computes, each under one plain key.

user:<id>       unix seconds of the newest event (8 bytes) + events in the history (8) + vector (4 d)
query:<text>    vector (4 d)
"""

import struct

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]

HEAD = struct.Struct("<dd")


def user(name: str) -> str:
    """The key of a user."""
    return f"user:{name}"


def query(text: str) -> str:
    """The key of a query."""
    return f"query:{text}"


def names(user_id: str, text: str | None) -> list[str]:
    """The keys that a request needs, for one MGET."""
    return [user(user_id)] if text is None else [user(user_id), query(text)]


def pack(last: float, size: int, vector: Vector) -> bytes:
    """A user's value."""
    return HEAD.pack(last, size) + vector.astype("<f4").tobytes()


def unpack(value: bytes) -> tuple[float, float, Vector]:
    """Newest event, events in the history, vector (d,)."""
    last, size = HEAD.unpack_from(value)
    return last, size, np.frombuffer(value, "<f4", offset=HEAD.size)
