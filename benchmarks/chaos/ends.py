"""A service that is told to end, and a worker that is killed, under load: what becomes of requests."""

import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from signal import SIGKILL, SIGTERM
from typing import Any

import httpx
import numpy as np
import psutil

from benchmarks.chaos.drill import Ground
from benchmarks.chaos.storm import LOST, REFUSED, Storm, storm
from benchmarks.speed import asks, lineup
from benchmarks.speed.process import GONE
from benchmarks.speed.rig import CONNECTIONS, Rig, Served
from benchmarks.speed.targets import Target

LINE, SECONDS = 4, 120.0
SHARE, CANDIDATES = 0.8, 100
BEFORE, AFTER = 3.0, 5.0  # seconds
ENDINGS = {"one worker": (1, 0.0), "two workers, drained": (2, 2.0)}  # workers, seconds to drain
WORKERS = 2
NOTICED = 0.1  # seconds until a process that is killed is gone, with its connections
PATIENCE = 30.0

TOLD = (
    "Known users, 100 candidates, 256 connections that stay open, opened again when the service asks for it; all "
    "workers share one core; S: a closed loop of 8. Three seconds after a load of 0.8 S begins the service gets "
    "SIGTERM, or one of two workers SIGKILL. Lost: requests that were sent and had no answer. Refused: no connection "
    "was to be had, and nothing was sent: as it should be once the service has gone. Drained: CHORUS_DRAIN_SECONDS=2."
)


def measure(ground: Ground) -> dict[str, Any]:
    """SIGTERM with and without a time to drain, and SIGKILL to a worker."""
    with ground.rig() as ready:
        told = {name: _told(ready, *options) for name, options in ENDINGS.items()}
        return {"SIGTERM": told, "SIGKILL": _killed(ready)}


def bounds(found: Mapping[str, Any]) -> list[Target]:
    """What line 4 asks for."""
    told, killed = found["SIGTERM"].values(), found["SIGKILL"]
    lost, refused, ended = (
        sum(each[name] for each in told) for name in ("lost", "refused while it drained", "exit code")
    )
    return [
        Target("SIGTERM: requests lost", lost, 0, below=True),
        Target("SIGTERM: requests refused while it drained", refused, 0, below=True),
        Target("SIGTERM: exit code", ended, 0, below=True),
        Target(
            "kill -9 of one of two: requests lost that it did not hold", killed["lost later"], 0, below=True
        ),
        Target("kill -9: answers other than 200 and 429", killed["other than 200 and 429"], 0, below=True),
        Target("kill -9: seconds until both are back", killed["back, s"], 5, below=True),
    ]


def _told(ready: Rig, workers: int, drain: float) -> dict[str, Any]:
    """SIGTERM."""
    with ready.serve(_contender(workers, drain_seconds=drain)) as served:
        met, sent, gone = _under_load(ready, served, lambda: _leave(served))
        code = served.process.popen.wait(PATIENCE)
    after, tried = met.due >= sent, met.due + met.waits / 1e3
    return {
        "requests": len(met.due),
        "after the signal": int(np.sum(after)),
        "200": int(np.sum(after & (met.status == 200))),
        "429": int(np.sum(after & (met.status == 429))),
        "refused while it drained": int(np.sum((met.status == REFUSED) & (tried < sent + drain))),
        "refused": int(np.sum(met.status == REFUSED)),
        "lost": int(np.sum(met.status == LOST)),
        "gone, s": gone,
        "exit code": abs(code),
    }


def _killed(ready: Rig) -> dict[str, Any]:
    """SIGKILL to one of two workers."""
    with ready.serve(_contender(WORKERS)) as served:
        met, sent, back = _under_load(ready, served, lambda: _kill(served))
    lost, late = met.status == LOST, met.due >= sent + NOTICED
    return {
        "requests": len(met.due),
        "lost": int(np.sum(lost)),
        "lost later": int(np.sum(lost & late)),
        "other than 200 and 429": int(np.sum(late & ~np.isin(met.status, (200, 429, LOST)))),
        "refused for overload": int(np.sum(met.status == 429)),
        "p99 before, ms": met.p99(until=sent),
        "p99 until it is back, ms": met.p99(since=sent, until=sent + back),
        "back, s": back,
    }


def _under_load(ready: Rig, served: Served, harm: Callable[[], float]) -> tuple[Storm, float, float]:
    """What was met, when `harm` began in seconds from the beginning of the load, and what it returned."""
    bodies = ready.bodies("ends", asks.ranked(ready.crowd, CANDIDATES, 500))
    ready.stir(served, bodies)
    most = ready.load(served, bodies, seconds=3, connections=CONNECTIONS).rate
    url, core = f"{served.address}/recommend", ready.cores.load
    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(storm, url, bodies, rate=SHARE * most, seconds=BEFORE + AFTER, core=core)
        time.sleep(1.0 + BEFORE)  # the generator begins a second after it is started
        sent = time.time()
        returned = harm()
        met = load.result()
    return met, sent - met.begun, returned


def _leave(served: Served) -> float:
    """Seconds until the process has ended."""
    begun = time.perf_counter()
    served.process.popen.send_signal(SIGTERM)
    served.process.popen.wait(PATIENCE)
    return time.perf_counter() - begun


def _kill(served: Served) -> float:
    """Seconds until another worker has taken the place of one, and all are ready."""
    begun, old = time.perf_counter(), _workers(served)
    os.kill(min(old), SIGKILL)
    while not (len(new := _workers(served)) == WORKERS and new != old and _ready(served)):
        if time.perf_counter() - begun > PATIENCE:
            raise SystemExit("no other worker took the place of the one that was killed")
        time.sleep(0.05)
    return time.perf_counter() - begun


def _workers(served: Served) -> set[int]:
    started = psutil.Process(served.process.popen.pid).children()
    found = set()
    for each in started:
        with suppress(*GONE):
            if "app.worker" in " ".join(each.cmdline()):
                found.add(each.pid)
    return found


def _ready(served: Served) -> bool:
    return "\nchorus_ready 1.0\n" in httpx.get(f"{served.address}/metrics", timeout=PATIENCE).text


def _contender(workers: int, **settings: object) -> lineup.Contender:
    return lineup.chorus("ends", local_cache=20_000, max_wait_ms=150, workers=workers, **settings)
