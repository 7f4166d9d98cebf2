"""What Redis keeps. Everything of one user shares a hash tag, so that a cluster keeps it on one node.

chorus:{u:<user>}:history           list, newest first, of ["<item>","<event>",<unix seconds>]
chorus:{u:<user>}:profile           the user's record, a JSON object
chorus:{u:<user>}:event:<id>        an event already taken, for a day
chorus:{u:<user>}:vector:<model>    digest of the history that it was computed from (16 bytes) + vector
chorus:text:<model>:<digest>        vector and item-only outputs of one text

<model> is the beginning of the bundle's fingerprint: a new model never reads an old vector. Vectors are
little-endian float32 behind a checksum. What is missing, damaged or of the wrong type reads as absent.
"""

import asyncio
import json
import logging
import random
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.errors import CacheAway, NotStored
from app.link import Command, Link
from app.settings import Settings
from model_store.manifest import Manifest

log = logging.getLogger(__name__)

Row = NDArray[np.float32]
Record = tuple[str, str, float]  # item, event, unix seconds

EVENT_SECONDS = 86_400  # a retry of an event comes within the day
PENDING = 64  # writes on their way at once; more are dropped, the vectors can be computed again

# KEYS history, event · ARGV entry, keep, ttl, event ttl ("0": the event has no id). 1 taken, 0 seen before.
PUSH = """
if ARGV[4] ~= '0' and redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
local kind = redis.call('TYPE', KEYS[1])['ok']
if kind ~= 'list' and kind ~= 'none' then redis.call('DEL', KEYS[1]) end
redis.call('LPUSH', KEYS[1], ARGV[1])
redis.call('LTRIM', KEYS[1], 0, ARGV[2] - 1)
redis.call('EXPIRE', KEYS[1], ARGV[3])
if ARGV[4] ~= '0' then redis.call('SET', KEYS[2], '1', 'EX', ARGV[4]) end
return 1
"""


@dataclass(frozen=True)
class StoredEvent:
    """One event of one user, on its way in."""

    user: str
    record: Record
    event_id: str | None = None


@dataclass(frozen=True)
class Stored:
    """What Redis knows of one user."""

    history: tuple[Record, ...] = ()
    profile: Mapping[str, Any] = field(default_factory=dict)
    digest: bytes = b""
    vector: Row | None = None


@dataclass(frozen=True)
class Found:
    """What one round trip brought. `away`: it was wanted, and Redis did not answer."""

    users: Mapping[str, Stored] = field(default_factory=dict)
    texts: Mapping[bytes, Row] = field(default_factory=dict)
    away: bool = False


class State:
    """Redis as one bundle sees it."""

    def __init__(self, link: Link, settings: Settings, manifest: Manifest) -> None:
        self._link = link
        self._model = manifest.fingerprint[:16]
        self._keep = 2 * manifest.history_limit  # some are of unknown items, some came out of order
        self._user_width = manifest.dimension
        self._text_width = manifest.dimension + sum(task.width for task in manifest.text_tasks)
        self._vector_ttl = settings.cache_ttl_seconds
        self._history_ttl = settings.history_ttl_seconds
        self._writes: set[asyncio.Task[None]] = set()

    async def fetch(self, users: Sequence[str], texts: Sequence[bytes]) -> Found:
        """Users and texts (by digest) in one round trip; in none if nothing is asked."""
        if not users and not texts:
            return Found()
        commands: list[Command] = []
        for user in users:
            commands.append(("LRANGE", _key(user, "history"), 0, self._keep - 1))
            commands.append(("GET", _key(user, "profile")))
            commands.append(("GET", self._vector_key(user)))
        commands += [("GET", self._text_key(text)) for text in texts]
        try:
            results = await self._link.run("fetch", commands)
        except CacheAway:
            return Found(away=True)
        rows = (unpack(result, self._text_width) for result in results[3 * len(users) :])
        return Found(
            {user: _stored(results[3 * n : 3 * n + 3], self._user_width) for n, user in enumerate(users)},
            {text: row for text, row in zip(texts, rows, strict=True) if row is not None},
        )

    async def push(self, events: Sequence[StoredEvent]) -> list[bool]:
        """Append events in one round trip; False for one whose id was seen before. Raises NotStored."""
        commands = [self._push(event) for event in events]
        try:
            results = await self._link.run("push", commands)
        except CacheAway as error:
            raise NotStored("Redis is away and nothing was stored; send the events again") from error
        failed = [result for result in results if isinstance(result, Exception)]
        if failed:
            raise NotStored(
                f"{len(failed)} of {len(events)} events were not stored ({failed[0]}); send them again"
            )
        return [result == 1 for result in results]

    async def replace(self, histories: Sequence[tuple[str, Sequence[Record], Mapping[str, Any]]]) -> None:
        """Set the whole history (oldest first) and profile of users, in one round trip. Raises NotStored."""
        commands: list[Command] = []
        for user, records, profile in histories:
            key = _key(user, "history")
            commands.append(("DEL", key, _key(user, "profile")))
            if records:
                commands.append(("LPUSH", key, *map(_entry, records[-self._keep :])))
                commands.append(("EXPIRE", key, self._history_ttl))
            if profile:
                commands.append(
                    ("SET", _key(user, "profile"), json.dumps(dict(profile)), "EX", self._history_ttl)
                )
        try:
            results = await self._link.run("replace", commands)
        except CacheAway as error:
            raise NotStored("Redis is away; start it and load the histories again") from error
        failed = [result for result in results if isinstance(result, Exception)]
        if failed:
            raise NotStored(f"Redis refused to store histories: {failed[0]}")

    def keep_user(self, user: str, digest: bytes, vector: Row) -> None:
        """Cache a user's vector, off the request's path."""
        self._write((self._vector_key(user), pack(vector, digest)))

    def keep_texts(self, rows: Mapping[bytes, Row]) -> None:
        """Cache rows of texts by digest, off the request's path."""
        self._write(*((self._text_key(text), pack(row)) for text, row in rows.items()))

    async def settle(self) -> None:
        """Wait for the writes that are on their way."""
        while self._writes:
            await asyncio.wait(self._writes)

    def _push(self, event: StoredEvent) -> Command:
        history, seen = _key(event.user, "history"), _key(event.user, f"event:{event.event_id or ''}")
        seconds = EVENT_SECONDS if event.event_id else 0
        return ("EVAL", PUSH, 2, history, seen, _entry(event.record), self._keep, self._history_ttl, seconds)

    def _write(self, *entries: tuple[str, bytes]) -> None:
        if not entries or self._link.away or len(self._writes) >= PENDING:
            return
        # spread over a fifth of the time, or vectors cached together would expire together
        commands: list[Command] = [
            ("SET", key, value, "EX", max(1, int(self._vector_ttl * random.uniform(0.9, 1.1))))  # noqa: S311
            for key, value in entries
        ]
        task = asyncio.create_task(self._send(commands))
        self._writes.add(task)
        task.add_done_callback(self._writes.discard)

    async def _send(self, commands: Sequence[Command]) -> None:
        try:
            await self._link.run("store", commands)
        except CacheAway:
            log.debug("vectors were not cached: Redis is away")

    def _vector_key(self, user: str) -> str:
        return _key(user, f"vector:{self._model}")

    def _text_key(self, digest: bytes) -> str:
        return f"chorus:text:{self._model}:{digest.hex()}"


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


def _key(user: str, what: str) -> str:
    return f"chorus:{{u:{user}}}:{what}"


def _entry(record: Record) -> str:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))


def _stored(results: Sequence[Any], width: int) -> Stored:
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
            return 0.0 <= time < 1e11  # also refuses NaN, which JSON as Python reads it may hold
    return False


def _object(value: bytes) -> dict[str, Any]:
    parsed = _value(value)
    return parsed if isinstance(parsed, dict) else {}


def _value(value: bytes) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return None
