"""Memory goes back to the system."""

import ctypes
from pathlib import Path

import pytest

from app import heap

PIECES, BYTES = 20_000, 4_096  # too small to be mapped one by one


def resident() -> int:
    """Bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4_096


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="not glibc")
def test_what_was_freed_between_what_is_used_is_given_back():
    library = ctypes.CDLL(None)
    library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    pieces = [library.malloc(BYTES) for _ in range(PIECES)]
    for piece in pieces:
        ctypes.memset(piece, 1, BYTES)
    for number, piece in enumerate(pieces):
        if number % 16:
            library.free(piece)
    before = resident()
    heap.trim()
    after = resident()
    for piece in pieces[::16]:
        library.free(piece)
    assert before - after > PIECES * BYTES // 2
