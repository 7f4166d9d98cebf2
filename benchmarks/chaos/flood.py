"""Three times as much as can be done."""

import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np

from benchmarks.chaos.drill import Ground
from benchmarks.chaos.storm import Storm, storm
from benchmarks.speed import asks, lineup
from benchmarks.speed.rig import CONNECTIONS, Rig, Served
from benchmarks.speed.targets import Target

LINE, SECONDS = 1, 150.0
CALM, FLOOD, AFTER = 10.0, 30.0, 5.0
CANDIDATES, SHARE, TIMES = 500, 0.8, 3.0
PROBES = 0.05  # seconds between two looks at liveness

TOLD = (
    "Known users, 500 candidates. S: a closed loop of 8. Then as they come: 0.8 S for 10 s, 3 S for 30 s, 0.8 S. "
    "Liveness is asked twenty times a second meanwhile. A burst may wait 150 ms, the default."
)


def measure(ground: Ground) -> dict[str, Any]:
    """Saturation, and three times as much."""
    settings = {"local_cache": 20_000, "max_wait_ms": 150}
    with ground.rig() as ready, ready.serve(lineup.chorus("flood", **settings)) as served:
        return _overload(ready, served)


def bounds(found: Mapping[str, Any]) -> list[Target]:
    """What line 1 asks for."""
    calm = found["0.8 S, p99 ms"]
    return [
        Target("3 S: answers other than 200 and 429", found["3 S, other than 200 and 429"], 0, below=True),
        Target("3 S: 429 without Retry-After", found["3 S, 429 without Retry-After"], 0, below=True),
        Target("3 S: p99 of 429, ms", found["3 S, 429, p99 ms"], 20, below=True),
        Target("3 S: p99 of 200 to that at 0.8 S", found["3 S, accepted, p99 ms"] / calm, 2, below=True),
        Target("3 S: goodput, share of S", found["3 S, goodput of S"], 0.9),
        Target("3 S: liveness that failed", found["liveness failed"], 0, below=True),
        Target("3 S: p99 of liveness, ms", found["liveness, p99 ms"], 100, below=True),
        Target("2 s after: p99 to that before", found["2 s after, p99 ms"] / calm, 1.5, below=True),
        Target("2 s after: share refused", found["2 s after, refused"], 0.01, below=True),
    ]


def _overload(ready: Rig, served: Served) -> dict[str, Any]:
    bodies = ready.bodies("flood", asks.ranked(ready.crowd, CANDIDATES, 200, seed=21))
    ready.stir(served, bodies)
    most = ready.load(served, bodies, seconds=5, connections=CONNECTIONS).rate

    def run(share: float, length: float) -> Storm:
        url = f"{served.address}/recommend"
        return storm(url, bodies, rate=share * most, seconds=length, core=ready.cores.load)

    calm = run(SHARE, CALM)
    probes, stop = [], threading.Event()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(_probe, served.address, probes, stop)
        flood = run(TIMES, FLOOD)
        stop.set()
    after = run(SHARE, AFTER)
    good, refused = flood.status == 200, flood.status == 429
    return {
        "S (1/s)": most,
        "0.8 S, p99 ms": calm.p99(),
        "0.8 S, refused": float(np.mean(calm.status == 429)),
        "3 S, other than 200 and 429": int(np.sum(~good & ~refused)),
        "3 S, 429 without Retry-After": int(np.sum(refused & ~flood.told)),
        "3 S, 429, p99 ms": flood.p99(429),
        "3 S, accepted, p99 ms": flood.p99(),
        "3 S, goodput of S": float(np.sum(good)) / FLOOD / most,
        "3 S, generator's core": flood.used,
        "liveness failed": sum(status != 200 for status, _ in probes),
        "liveness, p99 ms": float(np.percentile([wait for _, wait in probes], 99)),
        "2 s after, p99 ms": after.p99(since=2.0),
        "2 s after, refused": float(np.mean(after.status[after.due >= 2.0] == 429)),
    }


def _probe(address: str, probes: list[tuple[int, float]], stop: threading.Event) -> None:
    """Liveness, again and again: status and milliseconds."""
    with httpx.Client(timeout=10.0) as client:
        while not stop.wait(PROBES):
            start = time.perf_counter()
            try:
                status = client.get(f"{address}/health/live").status_code
            except httpx.TransportError:
                status = 0
            probes.append((status, 1e3 * (time.perf_counter() - start)))
