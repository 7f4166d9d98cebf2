"""Memory that was let go, given back to the system.

glibc keeps what was freed between what is still used, and at the end of each thread's arena up to twice the largest
block that ever was: each version that is let go would leave tens of megabytes.
"""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # numbers of mallopt
KEPT = 8 << 20  # bytes at the end of an arena: what a run of texts needs, or each would fetch its pages anew
MAPPED = 32 << 20  # bytes of a block that is mapped by itself: as many as can be, for scratch's sake


def bound() -> None:
    """From now on what is free at the end of an arena is given back at once; nothing where the C library cannot.

    Set thresholds are also those that glibc no longer raises by itself.
    """
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(M_TRIM_THRESHOLD, KEPT)
        library.mallopt(M_MMAP_THRESHOLD, MAPPED)


def trim() -> None:
    """Ten milliseconds or so, without the interpreter's lock; nothing where the C library cannot."""
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)
