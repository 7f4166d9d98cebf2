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
        caller = asyncio.shield(task)
        caller.add_done_callback(lambda caller: self._left(key, task, caller))
        return caller

    def _left(self, key: K, task: asyncio.Future[V], caller: asyncio.Future[V]) -> None:
        if caller.cancelled() and not task.done():
            self._callers[key] -= 1
            if not self._callers[key]:
                task.cancel()
                self._forget(key, task)  # now: whoever asks from here on starts another

    def _forget(self, key: K, task: asyncio.Future[V]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key], self._callers[key]
