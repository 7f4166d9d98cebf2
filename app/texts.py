"""Vectors of queries, profiles and cold items: remembered here, then in Redis, else encoded once.

A text's row is its vector and the outputs of the item-only tasks, side by side: (d + W,).
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial

from app.batcher import Batcher
from app.errors import Overloaded
from app.memory import Flights, Lru
from app.metrics import Metrics
from app.stored import Row


def digest(text: str) -> bytes:
    """The name of a text in the caches."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


class Texts:
    """Rows of texts, each encoded once however many ask; `keep` gets the digest and row of each that was."""

    def __init__(
        self, batcher: Batcher, metrics: Metrics, *, size: int, keep: Callable[[bytes, Row], None]
    ) -> None:
        self._batcher = batcher
        self._share = keep
        self._cache = metrics.cache
        self._local: Lru[str, Row] = Lru(size)
        self._flights: Flights[str, Row] = Flights(metrics.shared.labels("text").inc)

    @property
    def recent(self) -> list[str]:
        """All that are at hand, those that were asked for last first."""
        return self._local.keys

    def missing(self, texts: Iterable[str]) -> list[bytes]:
        """Digests of the texts that Redis should be asked for."""
        return [digest(text) for text in texts if text not in self._local]

    async def rows(self, texts: Iterable[str], found: Mapping[bytes, Row] | None) -> dict[str, Row]:
        """The row of each text; `found`: what Redis knew, None: it is away.

        Raises Overloaded if too many texts wait already.
        """
        rows = {text: self._known(text, found) for text in texts}
        cold = [text for text, row in rows.items() if row is None]
        new = [text for text in cold if text not in self._flights]
        if new and not self._batcher.takes(new):
            raise Overloaded("too many texts wait to be encoded; try again")
        encoded = await asyncio.gather(*map(self._join, cold))
        known = {text: row for text, row in rows.items() if row is not None}
        return known | dict(zip(cold, encoded, strict=True))

    def _join(self, text: str) -> Awaitable[Row]:
        return self._flights.run(text, lambda: self._encode(text))

    def _known(self, text: str, found: Mapping[bytes, Row] | None) -> Row | None:
        row = self._local.get(text)
        if row is not None:
            self._cache.labels("text", "local", "hit").inc()
            return row
        self._cache.labels("text", "local", "miss").inc()
        row = found.get(digest(text)) if found else None
        result = "bypass" if found is None else "miss" if row is None else "hit"
        self._cache.labels("text", "redis", result).inc()
        if row is not None:
            self._local.put(text, row)
        return row

    def _encode(self, text: str) -> asyncio.Future[Row]:
        row = self._batcher.encode(text)
        row.add_done_callback(partial(self._keep, text))
        return row

    def _keep(self, text: str, row: asyncio.Future[Row]) -> None:
        if not row.cancelled() and row.exception() is None:
            self._local.put(text, row.result())
            self._share(digest(text), row.result())
