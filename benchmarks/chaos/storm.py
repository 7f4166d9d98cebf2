"""Requests that come whenever they come: an open loop with the gaps of many independent callers (Poisson).

    python -m benchmarks.chaos.storm URL BODIES RATE SECONDS [PERIOD]

With a period the same requests come again and again at the same moments of each: what they wait for in one can be
compared with what they wait for in another, and chance in when they come is not taken for a difference.

A wait counts from the moment that a request was due, also where no connection was free or the client was late.
Prints the core that the generator needed, and for each request when it was due, how many milliseconds it waited, its
status, and whether it was told when to come again; as JSON, with the moment at which it began.
"""

import gc
import json
import os
import select
import subprocess
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.speed.link import HungUp, Link, links, request
from benchmarks.speed.process import on

CONNECTIONS = 256
LINGER = 5.0  # seconds for the last answers
LOST, REFUSED = 0, -1  # in place of a status: no answer to what was sent; no connection to send it on


@dataclass(frozen=True)
class Storm:
    """What n requests met: due in seconds from the start, waits in milliseconds.

    begun: unix seconds of the start; status: LOST or REFUSED where none came, the latter with its wait.
    """

    begun: float
    due: NDArray[np.float64]
    waits: NDArray[np.float64]
    status: NDArray[np.int64]
    told: NDArray[np.bool_]
    used: float

    def within(self, begin: float, end: float) -> "Storm":
        """Those that were due between two moments, in seconds from the start."""
        chosen = (self.due >= begin) & (self.due < end)
        arrays = {name: getattr(self, name)[chosen] for name in ("due", "waits", "status", "told")}
        return replace(self, **arrays)

    def p99(self, status: int = 200, since: float = 0.0, until: float = inf) -> float:
        """Of the waits of answers with a status that were due in these seconds; infinite if there are none."""
        chosen = self.waits[(self.status == status) & (self.due >= since) & (self.due < until)]
        return float(np.percentile(chosen, 99)) if len(chosen) else inf


def storm(
    url: str, bodies: Path, *, rate: float, seconds: float, core: int, period: float | None = None
) -> Storm:
    """One run, from a process of its own; period: seconds after which the same requests come again."""
    told = [str(each) for each in (bodies, rate, seconds, period or seconds)]
    command = [sys.executable, "-m", "benchmarks.chaos.storm", url, *told]
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


def moments(rate: float, seconds: float, period: float) -> tuple[list[float], int]:
    """When requests are due, and how many come in a period."""
    once = np.cumsum(np.random.default_rng(8).exponential(1.0 / rate, int(rate * period)))
    if period < seconds:
        once = once[once < period]
        again = np.concatenate([once + turn * period for turn in range(int(seconds / period) + 1)])
        return again[again < seconds].tolist(), len(once)
    return once.tolist(), len(once)


def main(url: str, bodies: Path, rate: float, seconds: float, period: float) -> None:
    """One run."""
    requests = [request(url, body) for body in bodies.read_bytes().splitlines()]
    due, each = moments(rate, seconds, period)
    gc.freeze()
    gc.disable()
    with suppress(
        PermissionError
    ):  # before all else on its core: that it is late is no wait of the service's
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    told = Callers(url, [requests[number % len(requests)] for number in range(each)], due).run()
    sys.stdout.write(json.dumps(told))


class Callers:
    """Connections that stay open from request to request, opened again where the server has hung up.

    A request is lost if the server hangs up on it once it was sent. Where no connection can be had it was never
    sent, and its caller may ask somebody else.
    """

    def __init__(self, url: str, requests: list[bytes], due: list[float], most: int = CONNECTIONS) -> None:
        self._url, self._requests, self._due, self._most = url, requests, due, most
        self._waits, self._status, self._told = [0.0] * len(due), [LOST] * len(due), [False] * len(due)
        self._poll = select.epoll()
        self._idle: dict[int, Link] = {}
        self._busy: dict[int, tuple[int, Link]] = {}
        self._start = 0.0
        for link in links(url, most):
            self._keep(link)

    def run(self) -> dict[str, object]:
        """All of it."""
        clock, total, due = time.perf_counter, len(self._due), self._due
        ready: deque[int] = deque()
        asked, begun, end = 0, time.time(), due[-1] + LINGER
        start = self._start = clock()
        while (asked < total or self._busy or ready) and (now := clock() - start) < end:
            while asked < total and due[asked] <= now:
                ready.append(asked)
                asked += 1
            while ready and len(self._busy) < self._most:
                self._ask(ready.popleft())
            left = due[asked] - (clock() - start) if asked < total else 0.1
            select.select(
                [self._poll], [], [], max(0.0, min(left, 0.1))
            )  # epoll's own wait is of whole milliseconds
            for place, _ in self._poll.poll(0):
                if place in self._idle:  # the server has hung up
                    self._drop(self._idle.pop(place))
                else:
                    self._hear(place)
        used = time.process_time() / (clock() - start)
        for link in [*self._idle.values(), *(link for _, link in self._busy.values())]:
            self._drop(link)
        met = {"waits": self._waits, "status": self._status, "told": self._told}
        return {"begun": begun, "due": due, "used": used, **met}

    def _ask(self, number: int) -> None:
        while self._idle:
            place = next(iter(self._idle))  # in turn: the server hangs up on idle ones
            link = self._idle.pop(place)
            if link.usable:
                break
            self._drop(link)
        else:
            try:
                link = self._keep(links(self._url, 1)[0])
            except ConnectionError:
                self._end(number, REFUSED)
                return
            place = link.socket.fileno()
            del self._idle[place]
        self._busy[place] = (number, link)
        with suppress(ConnectionError):  # which is heard of next
            link.ask(self._requests[number % len(self._requests)])

    def _hear(self, place: int) -> None:
        number, link = self._busy[place]
        try:
            head = link.answer()
        except HungUp:
            head = b""
        if head is None:
            return
        del self._busy[place]
        if head:
            self._end(number, int(head[9:12]))
            self._told[number] = b"\r\nretry-after:" in head
        if head and b"\r\nconnection: close" not in head:
            self._idle[place] = link
        else:
            self._drop(link)

    def _end(self, number: int, status: int) -> None:
        self._waits[number] = 1e3 * (time.perf_counter() - self._start - self._due[number])
        self._status[number] = status

    def _keep(self, link: Link) -> Link:
        self._idle[link.socket.fileno()] = link
        self._poll.register(link.socket, select.EPOLLIN)
        return link

    def _drop(self, link: Link) -> None:
        self._poll.unregister(link.socket)
        link.socket.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *map(float, sys.argv[3:6]))
