"""A line to Redis that nobody waits on for longer than the timeout.

The first failure opens a breaker: from then on every call fails at once, without touching the network,
until a ping in the background is answered. Only then do requests ask Redis again.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from app.errors import CacheAway
from app.metrics import Metrics

log = logging.getLogger(__name__)

Command = tuple[str | bytes | float, ...]

CONNECTIONS = 32
FIRST_PING, LAST_PING = 0.05, 1.0  # seconds between pings while away: doubled up to the second


class Link:
    """One Redis server, or none at all (`url` None): then every call is CacheAway."""

    def __init__(self, url: str | None, *, timeout: float, metrics: Metrics) -> None:
        self._timeout = timeout
        self._metrics = metrics
        self._healer: asyncio.Task[None] | None = None
        self._client = _client(url, timeout) if url else None
        self.away = self._client is None

    async def open(self) -> None:
        """Ask once whether it is there; if not, requests do without it until it is."""
        with suppress(CacheAway):
            await self.run("ping", [("PING",)])

    async def run(self, op: str, commands: Sequence[Command], *, more: float = 0.0) -> list[Any]:
        """Send commands in one round trip. A command that Redis refuses has its error as its result.

        more: seconds that so much work may take beyond the timeout. Raises CacheAway.
        """
        if self.away or self._client is None:
            raise CacheAway("Redis is away")
        start = time.perf_counter()
        try:
            results = await self._send(self._client, commands, self._timeout + more)
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            self._metrics.redis_errors.labels(op).inc()
            await self._break(error)
            raise CacheAway(f"Redis is away: {error}") from error
        self._metrics.redis.labels(op).observe(time.perf_counter() - start)
        refused = [result for result in results if isinstance(result, ResponseError)]
        if refused:
            self._metrics.redis_errors.labels(op).inc(len(refused))
            log.warning(
                "Redis refused %d of %d commands of %s: %s", len(refused), len(commands), op, refused[0]
            )
        return results

    async def close(self) -> None:
        """Stop pinging and hang up."""
        if self._healer:
            self._healer.cancel()
            with suppress(asyncio.CancelledError):
                await self._healer
        if self._client:
            await self._client.connection_pool.disconnect()

    async def _send(self, client: Redis, commands: Sequence[Command], timeout: float) -> list[Any]:
        async with asyncio.timeout(timeout):  # the whole trip: the pool, the connection, the replies
            pipeline = client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            results: list[Any] = await pipeline.execute(raise_on_error=False)
            return results

    async def _break(self, error: Exception) -> None:
        if self.away or self._client is None:
            return
        self.away = True
        self._metrics.breaker.set(1)
        log.warning("Redis is away (%s: %s); answering without it", type(error).__name__, error)
        self._healer = asyncio.create_task(self._heal(self._client))

    async def _heal(self, client: Redis) -> None:
        pause = FIRST_PING
        while True:
            await asyncio.sleep(pause)
            pause = min(2.0 * pause, LAST_PING)
            with suppress(RedisError, OSError):
                await client.connection_pool.disconnect(inuse_connections=False)  # all are of the old server
                await self._send(client, [("PING",)], self._timeout)
                break
        self.away = False
        self._metrics.breaker.set(0)
        log.info("Redis is back")


def _client(url: str, timeout: float) -> Redis:
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=timeout,
        socket_timeout=None,  # the whole trip has one: a large one may take longer than a small one's timeout
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
    )
    return Redis(connection_pool=pool)
