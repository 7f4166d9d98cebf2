"""A user at a moment: the events before it, and the vector that the user encoder makes of them.

The vector is a pure function of the history, so it is cached under the digest of that history: an event
changes the history, hence the digest, and no cache has to be told.
"""

import asyncio
import hashlib
import math
import sys
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from app.catalogue import Catalogue
from app.memory import Flights, Lru
from app.metrics import Metrics
from app.stored import Record, Row, Stored
from model_store.clock import Times
from model_store.engine import Engine
from model_store.history import History
from model_store.text import render


@dataclass(frozen=True)
class Past:
    """What is known of a user at a moment: L events of known items, oldest first, and the profile's text.

    rows, events (L,) int64; times (L,) float64; items: every one of the history, known or not.
    """

    rows: NDArray[np.int64]
    events: NDArray[np.int64]
    times: Times
    items: tuple[str, ...]
    profile: str
    digest: bytes

    @property
    def last(self) -> float:
        """Time of the newest event, NaN if there is none."""
        return float(self.times[-1]) if len(self.times) else float("nan")

    @property
    def seen(self) -> frozenset[str]:
        """Every item of the history."""
        return frozenset(self.items)


@dataclass(frozen=True)
class Recalled:
    """What was made of a stored history: the past at any moment later than its newest event.

    given: the profile that a request brought in place of the stored one; unknown: events of it that were left out;
    edition: of the catalogue, since which no item of it has changed.
    """

    past: Past
    newest: float
    given: str | None
    unknown: int
    edition: int


class Users:
    """Vectors of users: remembered here, else as Redis had them, else encoded once."""

    def __init__(
        self, engine: Engine, catalogue: Catalogue, *, pool: Executor, metrics: Metrics, size: int
    ) -> None:
        manifest = engine.manifest
        self._engine = engine
        self._catalogue = catalogue
        self._pool = pool
        self._metrics = metrics
        self._limit = manifest.history_limit
        self._fields = manifest.profile_text
        self._kinds = {
            name: number for number, name in enumerate(manifest.events) if number
        }  # 0: the profile
        self._recalled: WeakKeyDictionary[Stored, Recalled] = WeakKeyDictionary()
        self._newcomer = engine.user(History.none(manifest.dimension))
        self._local: Lru[bytes, Row] = Lru(size)
        self._flights: Flights[bytes, Row] = Flights(metrics.shared.labels("user").inc)

    def stored(self, stored: Stored, now: float, profile: str | None = None) -> Past:
        """The past of a user as Redis knows it; `profile`: in place of the stored one.

        Made once for what was read: it stays the same as long as that and the items in it do.
        """
        recalled, edition = self._recalled.get(stored), self._catalogue.edition
        if recalled is None or now <= recalled.newest or recalled.given != profile:
            recalled = self._read(stored, now, profile)
        elif recalled.edition != edition:
            if self._catalogue.touched(recalled.past.items, recalled.edition):
                recalled = self._read(stored, now, profile)
            else:
                recalled = self._recalled[stored] = replace(recalled, edition=edition)
        self._metrics.unknown.inc(recalled.unknown)
        return recalled.past

    def past(self, records: Sequence[Record], profile: str, now: float) -> Past:
        """The newest events of known items strictly before `now`, in the order in which they happened."""
        past, unknown = self._past(records, profile, now)
        self._metrics.unknown.inc(unknown)
        return past

    def _read(self, stored: Stored, now: float, profile: str | None) -> Recalled:
        records = stored.history
        text = render(self._fields, stored.profile) if profile is None else profile
        past, unknown = self._past(records, text, now)
        newest = max((time for _, _, time in records), default=-math.inf)
        recalled = Recalled(past, newest, profile, unknown, self._catalogue.edition)
        if now > newest:
            self._recalled[stored] = recalled
        return recalled

    def _past(self, records: Sequence[Record], profile: str, now: float) -> tuple[Past, int]:
        """The past, and how many events were left out of it as unknown."""
        before = sorted((record for record in records if record[2] < now), key=_time)
        kept = []
        for item, event, time in before:
            row, kind = self._catalogue.row(item), self._kinds.get(event)
            if row is not None and kind is not None:
                kept.append((row, kind, time))
        newest = kept[-self._limit :]
        rows = np.array([row for row, _, _ in newest], dtype=np.int64)
        events = np.array([kind for _, kind, _ in newest], dtype=np.int64)
        times = np.array([time for _, _, time in newest], dtype=np.float64)
        past = Past(
            rows=rows,
            events=events,
            times=times,
            items=tuple(sys.intern(item) for item, _, _ in before),  # users share their items
            profile=profile,
            digest=_digest(self._catalogue.signatures(rows), events, times, profile),
        )
        return past, len(before) - len(kept)

    def known(self, past: Past, stored: Stored | None) -> Row | None:
        """The vector of that past if it is remembered here, or if Redis had it; None: Redis was not asked."""
        local = self._local.get(past.digest) if len(past.rows) or past.profile else self._newcomer
        self._metrics.cache.labels("user", "local", "miss" if local is None else "hit").inc()
        if local is not None:
            return local
        vector = stored.vector if stored is not None and stored.digest == past.digest else None
        result = "bypass" if stored is None else "miss" if vector is None else "hit"
        self._metrics.cache.labels("user", "redis", result).inc()
        if vector is not None:
            self._local.put(past.digest, vector)
        return vector

    async def encode(self, past: Past, profile: Row | None) -> Row:
        """Compute the vector; `profile`: the row of the profile's text, None if there is no profile."""
        return await self._flights.run(past.digest, lambda: self._encode(past, profile))

    async def _encode(self, past: Past, profile: Row | None) -> Row:
        loop = asyncio.get_running_loop()
        vector = await loop.run_in_executor(self._pool, self._engine.user, self._history(past, profile))
        self._metrics.encodes.labels("user").inc()
        self._local.put(past.digest, vector)
        return vector

    def _history(self, past: Past, profile: Row | None) -> History:
        vectors = self._catalogue.vectors(past.rows)
        history = History(vectors, past.events, past.times)
        return history if profile is None else history.opened_by(profile[: vectors.shape[1]])


def _time(record: Record) -> float:
    return record[2]


def _digest(rows: NDArray[np.int64], events: NDArray[np.int64], times: Times, profile: str) -> bytes:
    state = hashlib.blake2b(digest_size=16)
    for part in (rows.tobytes(), events.tobytes(), times.tobytes(), profile.encode()):
        state.update(len(part).to_bytes(8, "little"))
        state.update(part)
    return state.digest()
