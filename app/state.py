"""Redis as one bundle sees it: keys.py says what it holds, stored.py in which form."""

import asyncio
import json
import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from app import keys
from app import shown as lists
from app.address import Command
from app.errors import CacheAway, NotStored
from app.ledger import Ledger, StoredEvent, entry
from app.link import Link
from app.near import Near, Reading
from app.settings import Settings
from app.shown import Shown
from app.stored import Record, Row, Stored, pack, seconds, stored, unpack
from model_store.counters import Records
from model_store.features import FeatureSet
from model_store.manifest import Manifest

log = logging.getLogger(__name__)

PENDING = 64  # trips that store vectors at once; what would take more is dropped, it can be computed again
AT_ONCE = 1_000  # records of one MGET
# What a command may take beyond the timeout: a bulk of them is slow, and Redis is not away.
READ_SECONDS, TAKE_SECONDS = 1e-5, 1e-4


@dataclass(frozen=True)
class UserState:
    """All that is to be stored of one user, oldest first."""

    user: str
    history: Sequence[Record] = ()
    profile: Mapping[str, Any] = field(default_factory=dict)
    shown: Sequence[Shown] = ()


@dataclass(frozen=True)
class Live:
    """What was counted live: records (n,) of the items that were asked for, and when counting began."""

    items: tuple[str, ...]
    records: Records
    began: float | None

    def of(self, items: Sequence[str]) -> Records:
        """The records of some of those items, (n,)."""
        if tuple(items) == self.items:
            return self.records
        return self.records.take([self._places[item] for item in items])

    @cached_property
    def _places(self) -> Mapping[str, int]:
        return {item: n for n, item in enumerate(self.items)}


@dataclass(frozen=True)
class Found:
    """What one round trip brought. `away`: it was wanted, and Redis did not answer.

    shown: entries of the lists shown to each user, as they are stored; live: None if no items were asked for.
    """

    users: Mapping[str, Stored] = field(default_factory=dict)
    texts: Mapping[bytes, Row] = field(default_factory=dict)
    shown: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    live: Live | None = None
    away: bool = False


class State:
    """Redis as one bundle sees it."""

    def __init__(self, link: Link, settings: Settings, manifest: Manifest, features: FeatureSet) -> None:
        self._link = link
        self._ledger = Ledger(manifest, features, settings)
        self._layout = features.layout
        self._blank = features.layout.blank(1).tobytes()
        self._model = manifest.fingerprint[:16]
        self._kept = 2 * manifest.history_limit
        self._user_width = manifest.dimension
        self._text_width = manifest.dimension + sum(task.width for task in manifest.text_tasks)
        self._vector_ttl = settings.cache_ttl_seconds
        self._history_ttl = settings.history_ttl_seconds
        self._near = Near(link, settings, features)
        self._unsent: list[Command] = []
        self._writes: set[asyncio.Task[None]] = set()

    async def fetch(
        self,
        users: Sequence[str] = (),
        texts: Sequence[bytes] = (),
        *,
        shown: Sequence[str] = (),
        items: Sequence[str] = (),
    ) -> Found:
        """Users, texts (by digest), lists shown to users and records of items, each asked for once.

        One round trip for what is not at hand; if all is, no trip and no turn of the event loop.
        """
        reading = self._near.look(users, shown, items)
        groups = self._commands(reading, texts)
        commands = [command for group in groups for command in group]
        if not commands:
            return _found(reading)
        more = READ_SECONDS * len(reading.items)
        with self._near.watch(reading):
            try:
                results = iter(await self._link.read("fetch", commands, more=more))
            except CacheAway:
                return Found(away=True)
            known, lists, began, chunks, rows = [list(islice(results, len(group))) for group in groups]
            self._keep(reading, known, lists)
            self._count(reading, began, chunks)
        values = (unpack(row, self._text_width) for row in rows)
        return _found(
            reading, {text: row for text, row in zip(texts, values, strict=True) if row is not None}
        )

    async def push(self, events: Sequence[StoredEvent], beside: Sequence["State"] = ()) -> list[int]:
        """Take events in one round trip: SEEN before, or how many items each came too late for. Raises NotStored.

        beside: of other versions that are to know of them when this returns.
        """
        commands = self._ledger.commands(events, [each._ledger for each in beside])
        size = sum(len(event.items) for event in events) * (1 + len(beside))
        try:
            results = await self._link.run("push", commands, more=TAKE_SECONDS * size)
        except CacheAway as error:
            raise NotStored("Redis is away and nothing was stored; send the events again") from error
        finally:  # some may be stored all the same
            users = {event.user for event in events if event.user is not None}
            items = {item for event in events for item in event.items}
            for each in (self, *beside):
                each._near.wrote(users, items)
        failed = [result for result in results if isinstance(result, Exception)]
        if failed:
            raise NotStored(
                f"{len(failed)} of {len(results)} events were not stored ({failed[0]}); send them again"
            )
        return [int(result) for result in results[: len(events)]]

    async def replace(self, users: Sequence[UserState]) -> None:
        """Set all that is stored of users, in one round trip. Raises NotStored."""
        commands = [command for user in users for command in self._replace(user)]
        try:
            results = await self._link.run("replace", commands)
        except CacheAway as error:
            raise NotStored("Redis is away; start it and load the histories again") from error
        finally:
            self._near.wrote({user.user for user in users}, ())
        failed = [result for result in results if isinstance(result, Exception)]
        if failed:
            raise NotStored(f"Redis refused to store histories: {failed[0]}")

    @property
    def users(self) -> list[str]:
        """All that are at hand, those that were read last first."""
        return self._near.users

    @property
    def items(self) -> list[str]:
        """All whose records are at hand."""
        return self._near.items

    def keep_user(self, user: str, digest: bytes, vector: Row) -> None:
        """Cache a user's vector, off the request's path."""
        self._write(keys.vector(user, self._model), pack(vector, digest))

    def keep_text(self, text: bytes, row: Row) -> None:
        """Cache the row of a text by its digest, off the request's path."""
        self._write(keys.text(text, self._model), pack(row))

    def close(self) -> None:
        """Keep no copies in step any more."""
        self._near.close()

    async def settle(self) -> None:
        """Wait for the writes that are on their way."""
        while self._writes:
            await asyncio.wait(self._writes)

    def _commands(self, reading: Reading, texts: Sequence[bytes]) -> list[list[Command]]:
        """What is left to be read: users, lists shown, when counting began, records by the thousand, and texts."""
        head = keys.record(self._layout.digest, "")
        names = [head + item for item in reading.items]
        chunks = (names[start : start + AT_ONCE] for start in range(0, len(names), AT_ONCE))
        return [
            [command for user in reading.users for command in self._user(user)],
            [("LRANGE", keys.user(user, keys.SHOWN), 0, lists.KEPT - 1) for user in reading.shown],
            [] if reading.timed else [("GET", keys.began(self._layout.digest))],
            [("MGET", *chunk) for chunk in chunks],
            [("GET", keys.text(text, self._model)) for text in texts],
        ]

    def _user(self, user: str) -> list[Command]:
        return [
            ("LRANGE", keys.user(user, keys.HISTORY), 0, self._kept - 1),
            ("GET", keys.user(user, keys.PROFILE)),
            ("GET", keys.vector(user, self._model)),
        ]

    def _keep(self, reading: Reading, known: Sequence[Any], entries: Sequence[Any]) -> None:
        before, width = self._near.before, self._user_width
        self._near.keep(
            reading,
            {
                user: stored(known[3 * n : 3 * n + 3], width, before(user))
                for n, user in enumerate(reading.users)
            },
            {user: each for user, each in zip(reading.shown, entries, strict=True) if isinstance(each, list)},
        )

    def _count(self, reading: Reading, began: Sequence[Any], chunks: Sequence[Any]) -> None:
        """A damaged record is blank; if Redis refuses to read them there are none."""
        if not all(isinstance(chunk, list) for chunk in chunks):
            reading.records = None
            return
        blank, whole = self._blank, len(self._blank)
        held = [each if each and len(each) == whole else blank for chunk in chunks for each in chunk]
        records = np.frombuffer(b"".join(held), dtype=self._layout.dtype)
        self._near.count(reading, records, seconds(began[0]) if began else None)

    def _replace(self, user: UserState) -> list[Command]:
        history, profile, shown = (
            keys.user(user.user, what) for what in (keys.HISTORY, keys.PROFILE, keys.SHOWN)
        )
        commands: list[Command] = [("DEL", history, profile, shown)]
        if user.history:
            commands.append(("LPUSH", history, *map(entry, user.history[-self._kept :])))
            commands.append(("EXPIRE", history, self._history_ttl))
        if user.profile:
            commands.append(("SET", profile, json.dumps(dict(user.profile)), "EX", self._history_ttl))
        if user.shown:
            entries = (lists.pack(time, items) for time, items in user.shown[-lists.KEPT :])
            commands.append(("LPUSH", shown, *entries))
            commands.append(("EXPIRE", shown, lists.SECONDS))
        return commands

    def _write(self, key: str, value: bytes) -> None:
        """Store a vector, together with all others of this turn of the event loop."""
        if self._link.away or len(self._writes) >= PENDING:
            return
        # spread over a fifth of the time, or vectors cached together would expire together
        seconds = max(1, int(self._vector_ttl * random.uniform(0.9, 1.1)))  # noqa: S311
        if not self._unsent:
            task = asyncio.create_task(self._send())
            self._writes.add(task)
            task.add_done_callback(self._writes.discard)
        self._unsent.append(("SET", key, value, "EX", seconds))

    async def _send(self) -> None:
        commands, self._unsent = self._unsent, []
        try:
            await self._link.run("store", commands)
        except CacheAway:
            log.debug("vectors were not cached: Redis is away")


def _found(reading: Reading, texts: Mapping[bytes, Row] | None = None) -> Found:
    items, records = reading.asked, reading.records
    live = Live(items, records, reading.began) if items and records is not None else None
    return Found(reading.stored, texts or {}, reading.lists, live)
