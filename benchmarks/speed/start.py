"""From nothing to ready, and whether the first one who asks waits longer than those after."""

import http.client
import json
import time
from contextlib import suppress
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from benchmarks.speed import asks, lineup
from benchmarks.speed.process import wait
from benchmarks.speed.rig import READY, TIMEOUT, Rig, Served
from benchmarks.speed.rounds import spread

ROUNDS, REQUESTS, SIZE = 3, 200, 500

TOLD = (
    "From the start of the program until /health/ready says 200; then requests one after the other over "
    "one connection, 500 candidates each: the first, and the median of the rest."
)


def measure(rig: Rig) -> dict[str, Any]:
    """Seconds to ready, milliseconds of the first request and of the middle one."""
    bodies = [json.dumps(body).encode() for body in asks.ranked(rig.crowd, SIZE, REQUESTS, seed=13)]
    ready, first, steady = [], [], []
    for _ in range(1 if rig.quick else ROUNDS):
        began = time.perf_counter()
        with rig.start(lineup.chorus("start")) as served:
            link = _ready(served)
            ready.append(time.perf_counter() - began)
            waits = [_ask(link, body) for body in bodies]
        first.append(waits[0])
        steady.append(median(waits[1:]))
    return {
        "items": len(rig.crowd.item_ids),
        "seconds to ready": spread(ready),
        "first request ms": spread(first),
        "steady median ms": spread(steady),
        "first to steady": spread([one / other for one, other in zip(first, steady, strict=True)]),
    }


def _ready(served: Served) -> http.client.HTTPConnection:
    """A connection to a service that is ready."""
    link = http.client.HTTPConnection(urlsplit(served.address).netloc, timeout=TIMEOUT)

    def ready() -> bool:
        with suppress(OSError, http.client.HTTPException):
            link.request("GET", "/health/ready")
            answer = link.getresponse()
            answer.read()
            return answer.status == 200
        link.close()
        return False

    wait(served.process, ready, READY)
    return link


def _ask(link: http.client.HTTPConnection, body: bytes) -> float:
    start = time.perf_counter()
    link.request("POST", "/recommend", body, {"Content-Type": "application/json"})
    answer = link.getresponse()
    answer.read()
    if answer.status != 200:
        raise SystemExit(f"the first requests were refused: {answer.status}")
    return 1e3 * (time.perf_counter() - start)
