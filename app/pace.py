"""How fast a version is loaded: at a start as fast as can be, beside requests so that they do not wait for it.

Beside requests, what takes the event loop rests after each step, and what runs on a thread gives way to all others:
hashing and the building of sessions hold no lock of the interpreter's, and Python changes threads ten times as often
while it lasts.
"""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

T = TypeVar("T")

SHARE = 0.1  # of the event loop's time that goes into a version, beside requests
LONGEST = 0.1  # seconds of one rest
FEWER = 20  # as much, that much less of it at once
NICE = 10  # of its thread
SWITCH_SECONDS = 0.0005  # the interpreter's own are 0.005


class Pace:
    """One load's; `beside`: requests are answered meanwhile."""

    def __init__(self, *, beside: bool) -> None:
        self._beside = beside
        self._pool = ThreadPoolExecutor(
            1, thread_name_prefix="load", initializer=_give_way if beside else None
        )
        self._switch = sys.getswitchinterval()
        self._since = time.perf_counter()

    def __enter__(self) -> "Pace":
        if self._beside:
            sys.setswitchinterval(SWITCH_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._beside:
            sys.setswitchinterval(self._switch)
        self._pool.shutdown(wait=False)

    async def run(self, work: Callable[[], T]) -> T:
        """Do it on a thread. Threads that it starts give way too, as long as they live."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    async def rest(self) -> None:
        """After a step on the event loop; the busier the loop was with others, the longer."""
        if self._beside:
            took = time.perf_counter() - self._since
            await asyncio.sleep(min(LONGEST, took * (1.0 / SHARE - 1.0)))
        self._since = time.perf_counter()

    def few(self, most: int) -> int:
        """How much of something makes one step."""
        return max(1, most // FEWER) if self._beside else most


def _give_way() -> None:
    if sys.platform == "linux":  # where threads have priorities of their own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
