"""What the process remembers: a bounded table of the newest values, and work already under way."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Lru(Generic[K, V]):
    """The `size` values used last. One thread only: the event loop's."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: K, value: V) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._size:
            self._values.popitem(last=False)

    @property
    def keys(self) -> list[K]:
        """Of all that are here, those that were used last first."""
        return list(reversed(self._values))

    def __contains__(self, key: K) -> bool:
        return key in self._values

    def __len__(self) -> int:
        return len(self._values)


class Flights(Generic[K, V]):
    """Single flight: however many ask for a key at once, the work is done once.

    The work is a task of its own: a caller who goes away does not fail the others. When all have gone, it is
    cancelled.
    """

    def __init__(self, shared: Callable[[], None]) -> None:
        self._shared = shared
        self._tasks: dict[K, asyncio.Future[V]] = {}
        self._callers: Counter[K] = Counter()

    def __contains__(self, key: K) -> bool:
        return key in self._tasks

    def run(self, key: K, work: Callable[[], Coroutine[Any, Any, V] | asyncio.Future[V]]) -> Awaitable[V]:
        """Join the flight of that key, or start it."""
        task = self._tasks.get(key)
        if task is None:
            task = self._tasks[key] = asyncio.ensure_future(work())
            task.add_done_callback(lambda task: self._forget(key, task))
        else:
            self._shared()
        self._callers[key] += 1
        return Caller(task, lambda: self._left(key, task))

    def _left(self, key: K, task: asyncio.Future[V]) -> None:
        if not task.done():
            self._callers[key] -= 1
            if not self._callers[key]:
                task.cancel()
                self._forget(key, task)  # now: whoever asks from here on starts another

    def _forget(self, key: K, task: asyncio.Future[V]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key], self._callers[key]


class Caller(asyncio.Future[V]):
    """One who waits for a flight. When he is cancelled it is not, but it is told at once, and not a turn later."""

    def __init__(self, flight: asyncio.Future[V], left: Callable[[], None]) -> None:
        super().__init__(loop=flight.get_loop())
        self._left = left
        flight.add_done_callback(self._land)

    def cancel(self, msg: Any = None) -> bool:
        """He waits no more."""
        cancelled = super().cancel(msg)
        if cancelled:
            self._left()
        return cancelled

    def _land(self, flight: asyncio.Future[V]) -> None:
        if self.done():
            if not flight.cancelled():
                flight.exception()  # which nobody else may ask for
        elif flight.cancelled():
            super().cancel()
        elif error := flight.exception():
            self.set_exception(error)
        else:
            self.set_result(flight.result())
