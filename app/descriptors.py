"""The files that a process may hold open: each connection is one.

Most systems give a process a thousand and let it ask for many more, which nobody does for it.
"""

import logging
import resource

log = logging.getLogger(__name__)

BESIDE = 256  # files that are no callers' connections: the bundles', Redis', the log's


def allow(connections: int) -> None:
    """Ask the system for enough of them, and say so if it does not give as many."""
    wanted = connections + BESIDE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    most = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        log.warning(
            "the system allows %d open files, CHORUS_MAX_CONNECTIONS=%d needs %d: raise ulimit -n, or lower that",
            most,
            connections,
            wanted,
        )
