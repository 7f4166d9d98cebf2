"""Copies of values by name, bounded in number, in bytes and in age: those that were put here first go first."""

from typing import Generic, TypeVar

V = TypeVar("V")


class Copies(Generic[V]):
    """At most `most` values of so many bytes together. One thread only: the event loop's."""

    def __init__(self, most: int, size: int) -> None:
        self._most = most
        self._room = size
        self._values: dict[str, tuple[V, float, int]] = {}  # with the time of the copy and its bytes

    def get(self, name: str, since: float) -> V | None:
        """The value, if it was put here at that time or later."""
        held = self._values.get(name)
        return held[0] if held is not None and held[1] >= since else None

    def last(self, name: str) -> V | None:
        """The value that was put here last, however old."""
        held = self._values.get(name)
        return held[0] if held is not None else None

    def put(self, name: str, value: V, *, time: float, size: int) -> None:
        """Keep a value of about so many bytes in place of the one of that name."""
        self.drop(name)
        self._values[name] = (value, time, size)
        self._room -= size
        while self._room < 0 or len(self._values) > self._most:
            self.drop(next(iter(self._values)))

    def drop(self, name: str) -> None:
        """Forget a value, if it is here."""
        held = self._values.pop(name, None)
        if held is not None:
            self._room += held[2]

    def clear(self) -> None:
        """Forget all."""
        self._room += sum(size for _, _, size in self._values.values())
        self._values.clear()

    @property
    def names(self) -> list[str]:
        """Of all that are here, those that were put here last first."""
        return list(reversed(self._values))

    def __len__(self) -> int:
        return len(self._values)
