"""SIGHUP: serve the newest version. A signal has no answer to be refused in, so it waits for what is being loaded.

One that comes while another one is followed has the shelf looked at once more, for a version may have come since.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from app.errors import Busy, ServiceError
from app.labels import Wish

log = logging.getLogger(__name__)

PAUSE_SECONDS = 0.25  # between two looks at whether another version is still being loaded


class Renewal:
    """How a process follows its signals; take: has a wish come true."""

    def __init__(self, take: Callable[[Wish], Awaitable[None]]) -> None:
        self._take = take
        self._asked = False
        self._task: asyncio.Task[None] | None = None

    def ask(self) -> None:
        """Have the newest version served, beside the requests; the log says what became of it."""
        self._asked = True
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Follow no more."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while self._asked:
            self._asked = False
            try:
                await self._take(Wish())
            except Busy:
                self._asked = True
                await asyncio.sleep(PAUSE_SECONDS)
            except ServiceError as error:
                log.error("SIGHUP: %s", error)
