"""The numbers of one process in shared memory, where its siblings can read them.

  used        where the next series begins                                          8 bytes
  a series    length of its name · number of its values                             4 bytes each
              its name, padded to 8 bytes · its values, float64

One process writes: it appends a series and then counts it as used, so a reader never sees half a name.
Adding to a value is neither locked nor copied: no call comes between reading and writing it, and the
interpreter changes threads only at calls and jumps.
"""

import mmap
import os
import struct
from collections.abc import Iterator
from threading import Lock
from typing import NamedTuple

SIZE = 1 << 18  # untouched pages cost nothing
USED = struct.Struct("<Q")
HEAD = struct.Struct("<II")


class Series(NamedTuple):
    """A name, where its values begin, and how many there are."""

    name: str
    place: int
    width: int


class Tally:
    """Series of one process; `handle`: a file of `SIZE` bytes that siblings hold too, None: nobody else reads."""

    def __init__(self, handle: int | None = None) -> None:
        self._memory = mmap.mmap(-1 if handle is None else handle, SIZE)
        self._lock = Lock()
        self.values = memoryview(self._memory).cast("d")
        self._places = {each.name: each.place for each in self.series()}

    @classmethod
    def shared(cls) -> int:
        """The handle of a new one; it lives as long as somebody holds it, and leaves nothing behind."""
        handle = os.memfd_create("chorus-tally")
        os.truncate(handle, SIZE)
        return handle

    def place(self, name: str, width: int) -> int:
        """Where the values of a series begin; a new one is all zeros. MemoryError if there is no room."""
        with self._lock:
            if name not in self._places:
                self._places[name] = self._append(name.encode(), width)
            return self._places[name]

    def series(self) -> list[Series]:
        """What it holds."""
        return list(series(self._memory))

    def read(self) -> bytes:
        """All of it, as it is now."""
        return self._memory[:]

    def _append(self, name: bytes, width: int) -> int:
        start = _used(self._memory)
        begin = _begin(start, len(name))
        if begin + 8 * width > SIZE:
            raise MemoryError(f"no room for the metric {name.decode()}: its labels take too many values")
        HEAD.pack_into(self._memory, start, len(name), width)
        self._memory[start + HEAD.size : start + HEAD.size + len(name)] = name
        USED.pack_into(self._memory, 0, begin + 8 * width)
        return begin // 8


def series(memory: bytes | mmap.mmap) -> Iterator[Series]:
    """What a tally holds."""
    start, end = USED.size, _used(memory)
    while start < end:
        length, width = HEAD.unpack_from(memory, start)
        begin = _begin(start, length)
        name = memory[start + HEAD.size : start + HEAD.size + length]
        yield Series(name.decode(), begin // 8, width)
        start = begin + 8 * width


def _used(memory: bytes | mmap.mmap) -> int:
    used: int = USED.unpack_from(memory)[0]
    return max(USED.size, used)


def _begin(start: int, length: int) -> int:
    return start + HEAD.size + (length + 7) // 8 * 8
