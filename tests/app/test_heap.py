"""Memory goes back to the system."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from app import heap

GLIBC = hasattr(ctypes.CDLL(None), "malloc_trim")
THREAD = """
import ctypes, os, sys
from threading import Thread
from app import heap

library = ctypes.CDLL(None)
library.malloc.restype, library.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
told = os.open("/proc/self/statm", os.O_RDONLY)

def resident():
    return int(os.pread(told, 99, 0).split()[1]) * 4_096

def work():
    pieces = 300 * [0]  # as long as it will be: what grows would end above them
    for number in range(300):
        pieces[number] = library.malloc(100_000)
        ctypes.memset(pieces[number], 1, 100_000)
    before = resident()
    for piece in pieces:
        library.free(piece)
    print(before - resident())

if sys.argv[1] == "bound":
    heap.bound()
library.free(library.malloc(30 << 20))  # from now on glibc keeps twice as much, if nobody tells it not to
thread = Thread(target=work)
thread.start()
thread.join()
"""
PIECES, BYTES = 20_000, 4_096  # too small to be mapped one by one


def resident() -> int:
    """Bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4_096


@pytest.mark.skipif(not GLIBC, reason="not glibc")
@pytest.mark.parametrize(
    ("told", "least", "most"), [("bound", 18 << 20, 31 << 20), ("free", -(1 << 20), 1 << 20)]
)
def test_what_a_thread_frees_is_given_back_only_where_it_is_bound(told, least, most):
    ran = subprocess.run([sys.executable, "-c", THREAD, told], capture_output=True, text=True, check=True)
    assert least <= int(ran.stdout) <= most


@pytest.mark.skipif(not GLIBC, reason="not glibc")
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
