"""wrk in a closed loop: so many connections, each asking again as soon as it was answered."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.speed.process import on

SCRIPT = Path(__file__).with_name("requests.lua")
PATIENCE = 30.0


@dataclass(frozen=True)
class Load:
    """What a run of wrk saw; waits in milliseconds."""

    requests: int
    seconds: float
    failed: int
    p50: float
    p90: float
    p99: float
    longest: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.requests / self.seconds


def check() -> None:
    """Whether the programs that are no Python packages are there."""
    missing = [name for name in ("wrk", "redis-server", "taskset") if shutil.which(name) is None]
    if missing:
        raise SystemExit(
            f"{', '.join(missing)} not found; on Debian: apt-get install wrk redis-server util-linux"
        )


def run(
    url: str, bodies: Path, *, seconds: float, connections: int, cores: Sequence[int], first: int = 0
) -> Load:
    """Post the bodies in turn, from number `first` on; ends the benchmark if an answer is not 2xx."""
    command = [
        "wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", f"{PATIENCE:.0f}s",
        "-s", str(SCRIPT), url, "--", str(bodies), str(first),
    ]  # fmt: skip
    limit = seconds + 2 * PATIENCE
    done = subprocess.run(on(cores, command), text=True, capture_output=True, timeout=limit, check=False)
    if done.returncode:
        raise SystemExit(f"wrk failed: {done.stdout[-500:]}{done.stderr[-500:]}")
    load = parse(done.stdout)
    if load.failed or not load.requests:
        raise SystemExit(f"{url}: {load.failed} of {load.requests} requests failed")
    return load


def parse(output: str) -> Load:
    """The line that requests.lua writes at the end."""
    lines = [line for line in output.splitlines() if line.startswith('{"requests"')]
    if not lines:
        raise SystemExit(f"wrk said nothing that can be read: {output[-500:]}")
    told = json.loads(lines[-1])
    p50, p90, p99, longest = (told[name] / 1e3 for name in ("p50", "p90", "p99", "max"))
    return Load(told["requests"], told["microseconds"] / 1e6, told["failed"], p50, p90, p99, longest)
