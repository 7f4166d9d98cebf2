"""How long the caller of a request waits: until its deadline, and as long as he is there.

A deadline that the request names counts from when it came to this machine, even if the event loop was busy then.
When he stops waiting, what is under way for him is cancelled and leaves the lines that it stands in: nothing is run
for him any more, unless somebody else wants the same. What is late already when a stage begins does not begin it.
"""

import asyncio
import socket
import sys
import time
from math import inf
from types import TracebackType

from starlette.types import Scope

from app.errors import Expired, Gone, Invalid
from app.metrics import Metrics, Stages

HEADER = b"x-request-timeout-ms"
MOST = 3_600_000  # milliseconds
SOCKET = "chorus.socket"  # of the connection, in the scope of a request
RECEIVED = 52  # where struct tcp_info holds the milliseconds since
LEAVING = 0.002  # seconds that a 504 takes to be made and sent: it is to be there when the deadline passes
TICK = 4  # of them that the system's clock makes at once: it may be wrong by as many


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
    now = time.perf_counter()
    if connection is None or not hasattr(socket, "TCP_INFO"):
        return now
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, RECEIVED + 4)
    except OSError:  # it is closed: nobody waits
        return now
    since = int.from_bytes(info[RECEIVED:], sys.byteorder)
    return now - max(0.0, since - TICK / 2) / 1_000


class Patience:
    """One caller's, for what is done `with` it. Raises Expired or Gone."""

    __slots__ = ("_metrics", "_over", "_stages", "_task", "_timer")

    def __init__(self, stages: Stages, metrics: Metrics, until: float) -> None:
        self._stages = stages
        self._metrics = metrics
        self._over = False
        self._task: asyncio.Task[object] | None = None
        stages.until = until

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        left = self._stages.until - time.perf_counter()
        self._timer = asyncio.get_running_loop().call_later(left, self._end)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        task, self._task = self._task, None
        self._timer.cancel()
        late = error if isinstance(error, Expired | Gone) else None
        if self._over and kind is asyncio.CancelledError and task:
            task.uncancel()
            late = self._stages.late()
        self._stages.until = inf
        if isinstance(late, Gone):
            self._metrics.abandoned.inc()
        elif late:
            self._metrics.expired.labels(self._stages.stage).inc()
        if late:
            try:
                raise late from None
            finally:
                del error, late  # else it and this frame hold each other, and all that the request held

    def leave(self) -> None:
        """The caller has hung up."""
        if self._task:
            self._stages.until = -inf
            self._end()

    def _end(self) -> None:
        if self._task:
            self._over = True
            self._task.cancel()
