"""How fast a version is loaded: at a start as fast as can be, beside requests so that they do not wait for it.

Beside requests it is made in short steps, each begun when the event loop has nothing to do. What takes a core for
long but no lock of the interpreter's, hashes and the building of graphs, gives way to others; nothing else does: who
holds that lock and has to wait for a core makes all requests wait with him. So what gives way is given the lock only
when the event loop lays it down of itself, and never waits for a core as long as it would at the lowest priority.
Otherwise Python changes threads ten times as often while a load lasts.
"""

import asyncio
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import TypeVar

from app.priority import LOADING, give_way

T = TypeVar("T")

LONGEST = 0.1  # seconds of one rest
QUIET = 0.0001  # seconds of a turn in which it had nothing to do
FEWER = 20  # as much, that much less of it at once
SWITCH_SECONDS = 0.0005  # the interpreter's own are 0.005
PATIENT_SECONDS = 0.1  # the event loop lays the lock down every few milliseconds
END = object()  # of steps


class Pace:
    """One load's; `beside`: requests are answered meanwhile."""

    def __init__(self, *, beside: bool) -> None:
        self._beside = beside
        self._pool = ThreadPoolExecutor(1, "load")
        self._gentle = ThreadPoolExecutor(1, "gentle", partial(give_way, LOADING))
        self._before = self._switch = sys.getswitchinterval()

    def __enter__(self) -> "Pace":
        if self._beside:
            self._switch = SWITCH_SECONDS
            sys.setswitchinterval(self._switch)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._beside:
            self._switch = self._before
            sys.setswitchinterval(self._switch)
        for pool in (self._pool, self._gentle):
            pool.shutdown(wait=False)

    async def run(self, work: Callable[[], T]) -> T:
        """Do a step on a thread."""
        await self.rest()
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def each(self, steps: Iterable[object]) -> None:
        """Do steps on a thread, one after another."""
        left = iter(steps)
        while await self.run(lambda: next(left, END)) is not END:
            pass

    def give_way(self, work: Callable[[], T]) -> T:
        """Wait for what another thread does, which gives way; so do those that it starts, as long as they live."""
        if not self._beside:
            return work()
        sys.setswitchinterval(PATIENT_SECONDS)
        try:
            return self._gentle.submit(work).result()
        finally:
            sys.setswitchinterval(self._switch)

    async def rest(self) -> None:
        """Between two steps: until the event loop has nothing to do, which is when a turn of it takes no time."""
        if not self._beside:
            return
        end, took = time.perf_counter() + LONGEST, LONGEST
        while took > QUIET and time.perf_counter() < end:
            start = time.perf_counter()
            await asyncio.sleep(0)
            took = time.perf_counter() - start

    def few(self, most: int) -> int:
        """How much of something makes one step."""
        return max(1, most // FEWER) if self._beside else most
