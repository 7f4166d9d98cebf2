"""The link to Redis, which nobody waits on for longer than the timeout.

One line writes, a few read, and all requests share them. The first failure opens a breaker: from then on every call
fails at once, without touching the network, until a ping in the background is answered. Only then do requests ask
Redis again.

A server that refuses to write because it follows another one has been failed over, and goes on answering on the
connections that it had: new ones are made then, for the address may lead to the one that writes.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from redis.exceptions import BusyLoadingError, RedisError

from app.address import Address, Command
from app.errors import CacheAway
from app.line import Line
from app.metrics import Metrics
from app.wire import Told

log = logging.getLogger(__name__)

READERS = 2
QUIET = 1.0  # seconds between two lines of log about commands that are refused
RENEWED = 5.0  # seconds between two times that all connections are made anew, as long as writing is refused
DENIES = "NOPERM"
FOLLOWS = "READONLY"  # of a script's error it stands somewhere within
MOST = 10_000  # commands ahead of a call on its line: behind more it would not be answered in time
FIRST_PING, LAST_PING = 0.05, 1.0  # seconds between pings while away: doubled up to the second
PING: list[Command] = [("PING",)]


class Link:
    """One Redis server, or none at all (`url` None): then every call is CacheAway.

    readers: lines that read, beside the one that writes; tracked: Redis tells who listens what changed of all that
    was read.
    """

    def __init__(
        self,
        url: str | None,
        *,
        timeout: float,
        metrics: Metrics,
        readers: int = READERS,
        tracked: bool = False,
    ) -> None:
        self._timeout = timeout
        self.metrics = metrics
        self._healer: asyncio.Task[None] | None = None
        self._listeners: list[Told] = []
        self._lines: list[Line] = []
        self._quiet_until = self._renewed_until = 0.0
        if url is not None:
            address, told = Address(url), self._tell if tracked else None
            self._lines = [Line(address), *(Line(address, told) for _ in range(readers))]
        self._readers = self._lines[1:]
        self.away = url is None
        self.denied = False  # its rules do not let us read; it answers, and to write may be allowed

    @property
    def tracked(self) -> bool:
        """Whether Redis tells of every change."""
        return bool(self._lines) and all(line.tracked for line in self._readers)

    def listen(self, told: Told) -> None:
        """Be told the keys that changed after they were read, None: any may have."""
        self._listeners.append(told)

    def forget(self, told: Told) -> None:
        """Tell a listener no more."""
        if told in self._listeners:
            self._listeners.remove(told)

    async def open(self) -> None:
        """Ask once whether it is there; if not, requests do without it until it is."""
        with suppress(CacheAway):
            await self.run("ping", PING)

    async def run(self, op: str, commands: Sequence[Command], *, more: float = 0.0) -> list[Any]:
        """Send commands in one round trip. A command that Redis refuses has its error as its result.

        more: seconds that so much work may take beyond the timeout. Raises CacheAway.
        """
        return await self._trip(op, commands, more, reads=False)

    async def read(self, op: str, commands: Sequence[Command], *, more: float = 0.0) -> list[Any]:
        """The same with commands that only read, on a line of their own."""
        results = await self._trip(op, commands, more, reads=True)
        if self.denied:
            raise CacheAway("Redis does not let us read")
        return results

    async def close(self) -> None:
        """Stop pinging and hang up."""
        if self._healer:
            self._healer.cancel()
            with suppress(asyncio.CancelledError):
                await self._healer
        for line in self._lines:
            await line.close()

    async def _trip(self, op: str, commands: Sequence[Command], more: float, *, reads: bool) -> list[Any]:
        if self.away:
            raise CacheAway("Redis is away")
        if not commands:
            return []
        line = self._reader() if reads else self._lines[0]
        if line.flying >= MOST:
            self.metrics.redis_errors.labels(op).inc()
            raise CacheAway(f"{line.flying} commands wait for Redis already")
        start = time.perf_counter()
        try:
            results = await line.send(commands, self._timeout + more)
            refused = _refused(results)
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            self.metrics.redis_errors.labels(op).inc()
            self._break(error)
            raise CacheAway(f"Redis is away: {error}") from error
        self.metrics.redis.labels(op).observe(time.perf_counter() - start)
        if reads:
            self.denied = any(DENIES in str(each) for each in refused)
        if refused:
            self.metrics.redis_errors.labels(op).inc(len(refused))
            self._complain(op, refused[0])
            if FOLLOWS in str(refused[0]):
                self._renew()
        return results

    def _complain(self, op: str, refusal: RedisError) -> None:
        """Log what Redis refuses, but not for each of a thousand requests."""
        now = time.monotonic()
        if now >= self._quiet_until:
            self._quiet_until = now + QUIET
            reason = str(refusal).partition(", with args")[0]  # which may be of a user
            log.warning("Redis refuses commands of %s: %s", op, reason)

    def _renew(self) -> None:
        """Look for the server that writes, where the address leads now."""
        now = time.monotonic()
        if now >= self._renewed_until:
            self._renewed_until = now + RENEWED
            log.warning("Redis follows another server: connecting anew, to the one that the address leads to")
            for line in self._lines:
                line.renew()

    def _reader(self) -> Line:
        """The first line on which nothing long is ahead, else the one that is free first."""
        usual = asyncio.get_running_loop().time() + self._timeout
        for line in self._readers:
            if line.due <= usual:
                return line
        return min(self._readers, key=lambda line: line.due)

    def _tell(self, keys: list[bytes] | None) -> None:
        for told in tuple(self._listeners):
            told(keys)

    def _break(self, error: Exception) -> None:
        if self.away:
            return
        self.away = True
        self.metrics.breaker.set(1)
        log.warning("Redis is away (%s); answering without it", _told(error))
        for line in self._lines:  # all are of the old server
            line.drop(error)
        self._healer = asyncio.create_task(self._heal(_told(error)))

    async def _heal(self, told: str) -> None:
        """Ping until there is an answer. A new reason is told: it is there again, and now wants a password."""
        pause = FIRST_PING
        while True:
            await asyncio.sleep(pause)
            pause = min(2.0 * pause, LAST_PING)
            try:
                _refused(await self._lines[0].send(PING, self._timeout))
                break
            except (RedisError, OSError) as error:
                if (
                    pause == LAST_PING and _told(error) != told
                ):  # sooner it comes and goes with how it went away
                    told = _told(error)
                    log.warning("Redis is still away (%s)", told)
        self.away = False
        self.metrics.breaker.set(0)
        log.info("Redis is back")


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def _refused(results: Sequence[Any]) -> list[RedisError]:
    """The commands that were refused; raises if Redis is still loading its data."""
    refused = [result for result in results if isinstance(result, RedisError)]
    for error in refused:
        if isinstance(error, BusyLoadingError):
            raise error
    return refused
