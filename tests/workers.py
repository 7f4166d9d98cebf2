"""The processes of a service that has several."""

from pathlib import Path


def children(pid: int) -> set[int]:
    """Processes that a process has started and that have not ended."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child) for child in found}


def workers(pid: int) -> set[int]:
    """Those that answer."""
    return {child for child in children(pid) if "app.worker" in Path(f"/proc/{child}/cmdline").read_text()}
