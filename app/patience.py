"""How long the caller of a request waits: until its deadline, and as long as he is there.

A deadline that the request names counts from when it came to this machine, even if the event loop was busy then.
When he stops waiting, what is under way for him is cancelled and leaves the lines that it stands in: nothing is run
for him any more, unless somebody else wants the same. What is late already when a stage begins does not begin it.
"""

import asyncio
import socket
import sys
import time
from collections.abc import Callable
from math import inf
from types import TracebackType
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

from starlette.types import Scope

from app.errors import Expired, Gone, Invalid, ServiceError
from app.metrics import Metrics, Stages

HEADER = b"x-request-timeout-ms"
MOST = 3_600_000  # milliseconds
SOCKET = "chorus.socket"  # of the connection, in the scope of a request
RECEIVED = 52  # where struct tcp_info holds the milliseconds since
LEAVING = 0.002  # seconds that a 504 takes to be made and sent: it is to be there when the deadline passes
COARSE = 6  # CLOCK_MONOTONIC_COARSE, which Python does not name

T = TypeVar("T")


def deadline(scope: Scope, start: float, default: float) -> float:
    """When the caller of a request stops waiting, on `time.perf_counter`; `start`: when it was read.

    Without a header `default` seconds after that; Invalid if the header says no number of milliseconds. Named ones
    end LEAVING sooner, a tenth at most.
    """
    for name, value in scope["headers"]:
        if name == HEADER:
            if not (value.isdigit() and len(value) <= 7 and 1 <= int(value) <= MOST):
                raise Invalid(f"X-Request-Timeout-Ms: must be a whole number of milliseconds, 1 to {MOST}")
            seconds = int(value) / 1_000
            return min(start, arrival(scope.get(SOCKET))) + seconds - min(LEAVING, seconds / 10)
    return start + default


def arrival(connection: socket.socket | None) -> float:
    """When the newest byte of a connection came, as the system knows it: the event loop reads when it gets to it."""
    if connection is None or sys.platform != "linux":
        return time.perf_counter()
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, RECEIVED + 4)
    except OSError:  # it is closed: nobody waits
        return time.perf_counter()
    since = int.from_bytes(info[RECEIVED:], sys.byteorder)
    return TICKS.middle(since / 1_000)


class Ticks:
    """The system's clock, by which it notes what came when: in whole ticks, of some milliseconds each.

    Its coarse time changes with each tick, and is behind by what stays the same: as little as was ever seen.
    """

    def __init__(self) -> None:
        self.length = time.clock_getres(COARSE) if sys.platform == "linux" else 0.0
        self._behind = self.length

    def middle(self, since: float) -> float:
        """The middle of the tick so many seconds before this one, or now if that is to come."""
        coarse = time.clock_gettime(COARSE)
        now = time.perf_counter()  # the same clock to the nanosecond, and read second: never seen too near
        self._behind = min(self._behind, now - coarse)
        return min(now, coarse + self._behind - since + self.length / 2)


TICKS = Ticks()


class Patience(Generic[T]):
    """One caller's, for what is done `with` it. Raises Expired or Gone.

    tell: begins to answer him the moment that his deadline passes, and returns what sees it to its end, which then is
    `told`, and nothing is raised. What is under way leaves the lines first, which is quick; to unwind it is not, and
    when many deadlines pass at once nobody's answer waits for that.
    """

    __slots__ = ("_metrics", "_over", "_stages", "_task", "_tell", "_timer", "told")

    def __init__(
        self, stages: Stages, metrics: Metrics, until: float, tell: Callable[[Expired], T] | None = None
    ) -> None:
        self._stages = stages
        self._metrics = metrics
        self._over = False
        self._task: asyncio.Task[object] | None = None
        self._tell = tell
        self.told: T | None = None
        stages.until = until

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        left = self._stages.until - time.perf_counter()
        self._timer = asyncio.get_running_loop().call_later(left, self._end)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> bool:
        task, self._task, self._tell = self._task, None, None
        self._timer.cancel()
        late = error if isinstance(error, Expired | Gone) else None
        if self._over and task:
            task.uncancel()
            if kind is asyncio.CancelledError:
                late = self._stages.late()
        self._stages.until = inf
        if self.told is not None:
            return late is not None or isinstance(error, ServiceError)
        if isinstance(late, Gone):
            self._metrics.abandoned.inc()
        elif late:
            self._metrics.expired.labels(self._stages.stage).inc()
        if late:
            try:
                raise late from None
            finally:
                del error, late  # else it and this frame hold each other, and all that the request held
        return False

    def leave(self) -> None:
        """The caller has hung up."""
        if self._task and not self._over:
            self._stages.until = -inf
            self._end()

    def _end(self) -> None:
        if not self._task:
            return
        self._over = True
        if self._tell and self._stages.until != -inf:
            loop = asyncio.get_running_loop()
            line = _late.setdefault(loop, [])
            if not line:
                loop.call_soon(_answer, line)  # before the first of them unwinds
            line.append(self)
        self._task.cancel()

    def answer(self) -> None:
        """Tell him that he is late, unless that is under way."""
        late = self._stages.late()
        if self._task and self._tell and isinstance(late, Expired):
            self.told = self._tell(late)
            self._metrics.expired.labels(self._stages.stage).inc()


_late: WeakKeyDictionary[asyncio.AbstractEventLoop, list[Patience[Any]]] = WeakKeyDictionary()


def _answer(line: list[Patience[Any]]) -> None:
    late = line.copy()
    line.clear()
    for each in late:
        each.answer()
