"""Whether the threads that infer still move: a run that never ends is found by how long it has lasted.

Nothing inside a process can end a thread that hangs in a library. So it first asks for no more requests, and if the
run does not end after all, for its own end: whoever probes it restarts it.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import get_ident
from typing import Any

STUCK_SECONDS = 5.0  # a run that lasts longer is no run: no more requests
DEAD_SECONDS = 60.0  # and now it will not end any more


class Pulse:
    """What is run `with` it, by any thread."""

    def __init__(self) -> None:
        self._begun: dict[int, float] = {}  # by thread

    def __enter__(self) -> None:
        self._begun[get_ident()] = time.monotonic()

    def __exit__(self, *_: object) -> None:
        del self._begun[get_ident()]

    @property
    def longest(self) -> float:
        """Seconds that the longest run under way has lasted; 0 if there is none."""
        now = time.monotonic()
        return max((now - begun for begun in list(self._begun.values())), default=0.0)


class Threads(ThreadPoolExecutor):
    """A pool whose pulse is felt."""

    def __init__(self, number: int, name: str) -> None:
        super().__init__(number, thread_name_prefix=name)
        self.pulse = Pulse()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        """As the pool's own."""
        return super().submit(self._run, fn, *args, **named)

    def _run(self, fn: Callable[..., Any], /, *args: Any, **named: Any) -> Any:
        with self.pulse:
            return fn(*args, **named)
