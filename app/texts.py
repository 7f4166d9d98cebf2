"""Vectors of queries, profiles and cold items: remembered here, then in Redis, else encoded once.

A text's row is its vector and the outputs of the item-only tasks, side by side: (d + W,).
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Iterable, Mapping
from concurrent.futures import Executor

import numpy as np

from app.memory import Flights, Lru
from app.metrics import Metrics
from app.stored import Row
from model_store.engine import Engine


def digest(text: str) -> bytes:
    """The name of a text in the caches."""
    return hashlib.blake2b(text.encode(), digest_size=16).digest()


class Texts:
    """Rows of texts. Encoding runs in `pool`, one unpadded text a run."""

    def __init__(self, engine: Engine, pool: Executor, metrics: Metrics, *, size: int) -> None:
        self._engine = engine
        self._pool = pool
        self._metrics = metrics
        self._local: Lru[str, Row] = Lru(size)
        self._flights: Flights[str, Row] = Flights(metrics.shared.labels("text").inc)

    def missing(self, texts: Iterable[str]) -> list[bytes]:
        """Digests of the texts that Redis should be asked for."""
        return [digest(text) for text in texts if text not in self._local]

    async def rows(
        self, texts: Iterable[str], found: Mapping[bytes, Row] | None
    ) -> tuple[dict[str, Row], list[str]]:
        """The row of each text, and which had to be encoded; `found`: what Redis knew, None: it is away."""
        rows = {text: self._known(text, found) for text in texts}
        cold = [text for text, row in rows.items() if row is None]
        encoded = await asyncio.gather(*map(self._join, cold))
        known = {text: row for text, row in rows.items() if row is not None}
        return known | dict(zip(cold, encoded, strict=True)), cold

    def _join(self, text: str) -> Awaitable[Row]:
        return self._flights.run(text, lambda: self._encode(text))

    def _known(self, text: str, found: Mapping[bytes, Row] | None) -> Row | None:
        row = self._local.get(text)
        if row is not None:
            self._metrics.cache.labels("text", "local", "hit").inc()
            return row
        self._metrics.cache.labels("text", "local", "miss").inc()
        row = found.get(digest(text)) if found else None
        result = "bypass" if found is None else "miss" if row is None else "hit"
        self._metrics.cache.labels("text", "redis", result).inc()
        if row is not None:
            self._local.put(text, row)
        return row

    async def _encode(self, text: str) -> Row:
        self._metrics.encodes.labels("text").inc()
        encoded = await asyncio.get_running_loop().run_in_executor(self._pool, self._engine.text, text)
        row = np.concatenate([encoded.vector, *encoded.outputs.values()])
        self._local.put(text, row)
        return row
