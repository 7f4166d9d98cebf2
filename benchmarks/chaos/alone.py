"""A drill in a process of its own, so that it ends in time whatever becomes of it, with all that it has started.

python -m benchmarks.chaos.alone NAME FOLDER OUT
"""

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGINT
from typing import Any

from rich.progress import Progress

from benchmarks.chaos.drill import Ground
from benchmarks.chaos.drills import DRILLS
from benchmarks.speed import bundle
from benchmarks.speed.process import DRILL_MARK, GONE, marked
from benchmarks.speed.rig import Cores

POLITE = 15.0  # seconds to end what it has started by itself


@dataclass(frozen=True)
class Outcome:
    """What a drill found, or why it found nothing; seconds that it took."""

    seconds: float
    found: dict[str, Any] = field(default_factory=dict)
    failed: str = ""


def conduct(name: str, folder: Path, seconds: float) -> Outcome:
    """One drill, by its name; its log is <folder>/chaos-<name>.log."""
    out = folder / f"chaos-{name}.json"
    out.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.chaos.alone", name, str(folder), str(out)]
    begun = time.monotonic()
    failed = bounded(command, seconds=seconds, log=out.with_suffix(".log"))
    took = time.monotonic() - begun
    if failed:
        return Outcome(took, failed=failed)
    found = json.loads(out.read_text())
    out.unlink()
    return Outcome(took, found)


def bounded(command: Sequence[str], *, seconds: float, log: Path) -> str:
    """Run it, and leave nothing of it behind. Returns what went wrong: the end of its log, or its time."""
    mark = uuid.uuid4().hex
    with log.open("w") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
            env=os.environ | {DRILL_MARK: mark},
        )  # fmt: skip
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return f"not done after {seconds:.0f} s"
    finally:
        process.send_signal(SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(POLITE)
        for left in marked(DRILL_MARK, mark):
            with suppress(*GONE):
                left.kill()
        process.wait()
    said = log.read_text(errors="replace").split("\n")
    return "" if process.returncode == 0 else next((line for line in reversed(said) if line), "it died")


def main(name: str, folder: Path, out: Path) -> None:
    """The drill itself: the service on the last core, against a load from the first one, where this is too."""
    free = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, free[:1])
    with Progress(disable=True) as progress:
        bench = bundle.make(folder, progress)
    found = DRILLS[name].measure(Ground(bench, Cores(free[-1], free[0])))
    out.write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
