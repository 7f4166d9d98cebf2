"""How fast a version is loaded: at a start as fast as can be, beside requests so that they do not wait for it.

Beside requests it is made in short steps, each begun when the event loop has nothing to do. What takes a core for
long but no lock of the interpreter's, hashes and the building of graphs, gives way to all others; nothing else does:
who holds that lock and has to wait for a core makes all requests wait with him. Python changes threads ten times as
often while it lasts.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import TypeVar

from app.priority import LOADING, give_way

T = TypeVar("T")

LONGEST = 0.1  # seconds of one rest
PAUSE = 0.002  # seconds between two looks at the event loop
QUIET = 0.0001  # seconds of a turn in which it had nothing to do
FEWER = 20  # as much, that much less of it at once
SWITCH_SECONDS = 0.0005  # the interpreter's own are 0.005


class Pace:
    """One load's; `beside`: requests are answered meanwhile."""

    def __init__(self, *, beside: bool) -> None:
        self._beside = beside
        self._pool = ThreadPoolExecutor(1, "load")
        self._gentle = ThreadPoolExecutor(1, "gentle", partial(give_way, LOADING if beside else 0))
        self._switch = sys.getswitchinterval()

    def __enter__(self) -> "Pace":
        if self._beside:
            sys.setswitchinterval(SWITCH_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._beside:
            sys.setswitchinterval(self._switch)
        for pool in (self._pool, self._gentle):
            pool.shutdown(wait=False)

    async def run(self, work: Callable[[], T]) -> T:
        """Do a step on a thread."""
        await self.rest()
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def give_way(self, work: Callable[[], T]) -> T:
        """Wait for what another thread does, which gives way; so do those that it starts, as long as they live."""
        return self._gentle.submit(work).result()

    async def rest(self) -> None:
        """Between two steps: until the event loop has nothing to do, which is when a turn of it takes no time."""
        if not self._beside:
            return
        end, took = time.perf_counter() + LONGEST, LONGEST
        while took > QUIET and time.perf_counter() < end:
            await asyncio.sleep(PAUSE)
            start = time.perf_counter()
            await asyncio.sleep(0)
            took = time.perf_counter() - start

    def few(self, most: int) -> int:
        """How much of something makes one step."""
        return max(1, most // FEWER) if self._beside else most
