"""Memory that was let go, given back to the system.

glibc keeps what was freed between what is still used: each version that is let go would leave tens of megabytes.
"""

import ctypes


def trim() -> None:
    """Ten milliseconds or so, without the interpreter's lock; nothing where the C library cannot."""
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)
