"""How long the caller of a request waits: until its deadline, and as long as he is there.

When he stops waiting, what is under way for him is cancelled and leaves the lines that it stands in: nothing is run
for him any more, unless somebody else wants the same. What is late already when a stage begins does not begin it.
"""

import asyncio
import time
from collections.abc import Iterable
from math import inf
from types import TracebackType

from app.errors import Expired, Gone, Invalid
from app.metrics import Metrics, Stages

HEADER = b"x-request-timeout-ms"
MOST = 3_600_000  # milliseconds


def asked(headers: Iterable[tuple[bytes, bytes]], default: float) -> float:
    """For how many seconds a caller waits. Invalid if the header says no number of milliseconds."""
    for name, value in headers:
        if name == HEADER:
            if not (value.isdigit() and len(value) <= 7 and 1 <= int(value) <= MOST):
                raise Invalid(f"X-Request-Timeout-Ms: must be a whole number of milliseconds, 1 to {MOST}")
            return int(value) / 1_000
    return default


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
            raise late from None

    def leave(self) -> None:
        """The caller has hung up."""
        if self._task:
            self._stages.until = -inf
            self._end()

    def _end(self) -> None:
        if self._task:
            self._over = True
            self._task.cancel()
