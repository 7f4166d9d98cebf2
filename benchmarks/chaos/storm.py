"""Requests that come whenever they come: an open loop with the gaps of many independent callers (Poisson).

    python -m benchmarks.chaos.storm URL BODIES RATE SECONDS

A wait counts from the moment that a request was due, also where no connection was free or the client was late.
Prints the core that the generator needed, and for each request when it was due, how many milliseconds it waited, its
status, and whether it was told when to come again; as JSON.
"""

import gc
import json
import select
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.speed.link import links, request
from benchmarks.speed.process import on

CONNECTIONS = 256
LINGER = 5.0  # seconds for the last answers


@dataclass(frozen=True)
class Storm:
    """What n requests met: due in seconds from the start, waits in milliseconds, status 0 where none came.

    begun: unix seconds of the start.
    """

    begun: float

    due: NDArray[np.float64]
    waits: NDArray[np.float64]
    status: NDArray[np.int64]
    told: NDArray[np.bool_]
    used: float

    def p99(self, status: int = 200, since: float = 0.0) -> float:
        """Of the waits of answers with a status that were due since then; infinite if there are none."""
        chosen = self.waits[(self.status == status) & (self.due >= since)]
        return float(np.percentile(chosen, 99)) if len(chosen) else float("inf")


def storm(url: str, bodies: Path, *, rate: float, seconds: float, core: int) -> Storm:
    """One run, from a process of its own."""
    command = [sys.executable, "-m", "benchmarks.chaos.storm", url, str(bodies), str(rate), str(seconds)]
    done = subprocess.run(on([core], command), stdout=subprocess.PIPE, check=True)
    told = json.loads(done.stdout)
    return Storm(
        begun=told["begun"],
        due=np.array(told["due"]),
        waits=np.array(told["waits"]),
        status=np.array(told["status"]),
        told=np.array(told["told"]),
        used=told["used"],
    )


def main(url: str, bodies: Path, rate: float, seconds: float) -> None:
    """One run."""
    requests = [request(url, body) for body in bodies.read_bytes().splitlines()]
    gaps = np.random.default_rng(8).exponential(1.0 / rate, int(rate * seconds))
    gc.freeze()
    gc.disable()
    told = _run(url, requests, np.cumsum(gaps).tolist())
    sys.stdout.write(json.dumps(told))


def _run(url: str, requests: list[bytes], due: list[float]) -> dict[str, object]:
    clock, total = time.perf_counter, len(due)
    waits, status, told = [0.0] * total, [0] * total, [False] * total
    idle, busy = {link.socket.fileno(): link for link in links(url, CONNECTIONS)}, {}
    poll = select.epoll()
    for place in idle:
        poll.register(place, select.EPOLLIN)
    ready: deque[int] = deque()
    asked, begun, start, end = 0, time.time(), clock(), due[-1] + LINGER
    while (asked < total or busy or ready) and (now := clock() - start) < end:
        while asked < total and due[asked] <= now:
            ready.append(asked)
            asked += 1
        while ready and idle:
            number, place = ready.popleft(), next(iter(idle))  # in turn: the server hangs up on idle ones
            link = idle.pop(place)
            link.ask(requests[number % len(requests)])
            busy[place] = (number, link)
        left = due[asked] - (clock() - start) if asked < total else 0.1
        for place, _ in poll.poll(max(0.0, min(left, 0.1))):
            if place in idle:  # it did
                idle.pop(place).socket.close()
                continue
            number, link = busy[place]
            head = link.answer()
            if head is not None:
                waits[number] = 1e3 * (clock() - start - due[number])
                status[number] = int(head[9:12])
                told[number] = b"\r\nretry-after:" in head
                del busy[place]
                idle[place] = link
    used = time.process_time() / (clock() - start)
    return {"begun": begun, "due": due, "waits": waits, "status": status, "told": told, "used": used}


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
