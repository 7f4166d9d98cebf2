"""A line to Redis: it connects when it is first needed, and again after it was lost."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError

from app.address import Address, Command
from app.wire import Told, Wire

log = logging.getLogger(__name__)

TRACK: Command = ("CLIENT", "TRACKING", "ON")


class Line:
    """One connection at a time, and however many trips on it. `told`: of changes to any key that was read here."""

    def __init__(self, address: Address, told: Told | None = None) -> None:
        self._address = address
        self._told = told
        self._wire: Wire | None = None
        self._opening: asyncio.Task[Wire] | None = None
        self.tracked = told is not None  # until Redis refuses it

    @property
    def flying(self) -> int:
        """Commands that are not answered yet."""
        return self._wire.flying if self._wire else 0

    @property
    def due(self) -> float:
        """By when they are answered or the line is given up, on the loop's clock; 0 if there are none."""
        return self._wire.due if self._wire else 0.0

    async def send(self, commands: Sequence[Command], seconds: float) -> list[Any]:
        """Replies by command, refusals among them. Raises RedisError or OSError."""
        wire = self._wire
        if wire is None:
            clock = asyncio.get_running_loop().time
            late = clock() + seconds
            wire = await self._opened(seconds)
            seconds = late - clock()
        return await wire.send(commands, seconds)

    def renew(self) -> None:
        """Have the next trip go over a new connection; those under way are answered on the one that they took."""
        wire, self._wire = self._wire, None
        if wire:
            wire.leave()

    def drop(self, error: Exception) -> None:
        """Hang up; whoever waits gets the error."""
        if self._opening:
            self._opening.cancel()
        if self._wire:
            self._wire.end(error)

    async def close(self) -> None:
        """Hang up, nobody waits any more."""
        opening = self._opening
        self.drop(ConnectionError("the service has hung up"))
        if opening:
            with suppress(asyncio.CancelledError, RedisError, OSError):
                await opening

    async def _opened(self, seconds: float) -> Wire:
        """The connection that is being made, by whoever asked first."""
        if self._opening is None:
            self._opening = asyncio.create_task(self._open(seconds))
            self._opening.add_done_callback(self._done)
        opening = self._opening
        try:
            async with asyncio.timeout(seconds):
                return await asyncio.shield(opening)
        except TimeoutError:
            raise TimeoutError("it did not take the connection in time") from None
        except asyncio.CancelledError:
            if not opening.cancelled():
                raise
            raise ConnectionError("the line was dropped") from None

    def _done(self, opening: asyncio.Task[Wire]) -> None:
        self._opening = None
        if not opening.cancelled():
            opening.exception()  # whoever waits has it too; perhaps nobody does any more

    async def _open(self, seconds: float) -> Wire:
        async with asyncio.timeout(seconds):
            wire = await self._address.connect(lambda: Wire(self._told or _nobody, self._lost))
            try:
                await self._greet(wire, seconds)
            except BaseException:
                wire.end(ConnectionError("it was not greeted"))
                raise
        self._wire = wire
        return wire

    async def _greet(self, wire: Wire, seconds: float) -> None:
        greeting = self._address.greeting
        replies = await wire.send([*greeting, TRACK] if self._told else greeting, seconds)
        refused = [reply for reply in replies[: len(greeting)] if isinstance(reply, RedisError)]
        if refused:
            raise ConnectionError(f"Redis 6 or newer is needed, and what the URL says of it: {refused[0]}")
        self.tracked = self._told is not None and not isinstance(replies[-1], RedisError)
        if self._told and not self.tracked:
            log.warning("Redis refused CLIENT TRACKING (%s): nothing of it is kept here", replies[-1])

    def _lost(self, wire: Wire, error: Exception) -> None:
        log.debug("a line to Redis ended: %s", error)
        if wire is self._wire:
            self._wire = None
        if self._told:
            self._told(None)


def _nobody(keys: list[bytes] | None) -> None:
    del keys
