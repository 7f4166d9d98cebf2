"""Requests at a constant rate: an open loop, which does not wait for slow answers before it asks again.

    python -m benchmarks.speed.pace URL BODIES RATE SECONDS

A wait counts from the moment that a request was due, also where no connection was free or the client was late: a
server that stalls is charged for everyone who would have come meanwhile. One thread, blocking sockets and `select`,
whose timeout is exact to microseconds. Prints waits in milliseconds and Server-Timing headers, as JSON.
"""

import gc
import json
import select
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.speed.link import PATIENCE, Link, links, request
from benchmarks.speed.process import on

CONNECTIONS = 32
SETTLE = 0.5  # seconds at the beginning that do not count


def paced(
    url: str, bodies: Path, *, rate: float, seconds: float, core: int
) -> tuple[NDArray[np.float64], list[dict[str, float]]]:
    """Waits in milliseconds, and what the server says of the same requests by stage, from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.speed.pace", url, str(bodies), str(rate), str(seconds)]
    done = subprocess.run(on([core], command), stdout=subprocess.PIPE, check=True)
    told = json.loads(done.stdout)
    return np.array(told["waits"]), [stages(each) for each in told["timings"]]


def stages(timing: str) -> dict[str, float]:
    """Milliseconds by stage, of a Server-Timing header."""
    parts = (part.strip().partition(";dur=") for part in timing.split(",") if part)
    return {name: float(spent) for name, _, spent in parts}


def main(url: str, bodies: Path, rate: float, seconds: float) -> None:
    """One run."""
    requests = [request(url, body) for body in bodies.read_bytes().splitlines()]
    opened = links(url, CONNECTIONS)
    gc.freeze()
    gc.disable()
    waits, heads = _run(requests, opened, 1.0 / rate, seconds + SETTLE)
    first = int(SETTLE * rate)
    timings = [head.partition(b"server-timing:")[2].partition(b"\r\n")[0].decode().strip() for head in heads]
    sys.stdout.write(json.dumps({"waits": waits[first:], "timings": timings[first:]}))


def _run(
    requests: Sequence[bytes], opened: Sequence[Link], pause: float, seconds: float
) -> tuple[list[float], list[bytes]]:
    clock, total = time.perf_counter, int(seconds / pause)
    idle, busy = list(opened), {}
    due: deque[float] = deque()
    waits, heads = [], []
    start, asked, sent = clock(), 0, 0
    while len(waits) < total:
        now = clock()
        while asked < total and start + asked * pause <= now:
            due.append(start + asked * pause)
            asked += 1
        while due and idle:
            link = idle.pop()
            link.ask(requests[sent % len(requests)], due.popleft())
            busy[link.socket] = link
            sent += 1
        left = start + asked * pause - clock() if asked < total else PATIENCE
        ready, _, _ = select.select(list(busy), [], [], max(0.0, left))
        if not ready and left == PATIENCE:
            raise SystemExit(f"no answer for {PATIENCE:.0f} s")
        for each in ready:
            head = busy[each].answer()
            if head is not None:
                link = busy.pop(each)
                if b" 200 " not in head[:16]:
                    raise SystemExit(head.decode())
                waits.append(1e3 * (clock() - link.due))
                heads.append(head)
                idle.append(link)
    return waits, heads


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
