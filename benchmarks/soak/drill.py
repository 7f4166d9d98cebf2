"""A service for half an hour: what it answers, what it holds, and how long it takes, a minute after another.

    python -m benchmarks.soak.drill FOLDER MINUTES OUT

In a process of its own; what it found is written to OUT as JSON.
"""

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from rich.progress import Progress

from app.settings import Settings
from benchmarks.chaos.drill import Ground
from benchmarks.chaos.locked import Locked, locked
from benchmarks.chaos.storm import Storm, storm
from benchmarks.chaos.swap import PATIENCE, publish
from benchmarks.soak.traffic import KNOWN, TEXTS, Events, Held, Items, every
from benchmarks.speed import asks, bundle, crowd, lineup
from benchmarks.speed.rig import CONNECTIONS, Cores, Rig
from benchmarks.speed.targets import Target
from benchmarks.speed.wrk import run as saturate

LINE = 8
MINUTES, PARTS = 30.0, 30  # of a whole run; a shorter one has as many parts, each shorter
SETTLED, SWAPS = 5, (2, 20)  # parts after which memory is as it stays; at whose end a version is asked for
SHARE, CANDIDATES, BODIES = 0.7, 100, 1_000
EVENTS, CHANGES, LOOKS = 0.05, 0.5, 1.0  # seconds between two
AROUND = 5.0  # seconds after a swap in which memory may still be that of both versions

TOLD = (
    "The service with its own settings, one process on one core, load and Redis on another. S: a closed loop of 8, "
    "for known users with 100 candidates. The same at 0.7 S, as they come (Poisson), for a minute that warms and 30 "
    "that count; a wait counts from when a request was due. Beside them twenty events a second of the same users, "
    "each before the moment that requests are about; two changes of items a second, in turn one put that is new, one "
    "put that replaces an item of the bundle, one deleted; after 2 and 20 minutes a new version (the same bundle "
    "under another fingerprint) is asked for at /admin/versions: from the first one on the service holds two, one to "
    "roll back to, and so it does in the minutes that are compared. An error is any answer but 200, 429 too. Memory: "
    "resident, looked at once a second; its growth is the median of the last minute to that of the sixth, less 1. "
    "Stored: entries in the histories in Redis that are an accepted event. A run of other length has 30 parts too, "
    "shorter or longer than a minute."
)


@dataclass(frozen=True)
class Swap:
    """A version that was asked for: unix seconds of the wish and of its answer, and what was answered."""

    begun: float
    done: float
    status: int


def measure(ground: Ground, minutes: float) -> dict[str, Any]:
    """All of it; minutes: those that count."""
    part = 60.0 * minutes / PARTS
    with ground.rig() as ready:
        shelf = ready.folder / "soak"
        shutil.rmtree(shelf, ignore_errors=True)
        shelf.mkdir()
        own = {name: Settings.model_fields[name].default for name in lineup.SETTINGS if name != "local_cache"}
        publish(ready.crowd.bundle, shelf)
        with (
            locked(ready, "soak", store=shelf, version=1, **own) as service,
            service.client() as telling,
            service.client() as changing,
        ):
            return _soaked(ready, service, shelf, part, Events(telling, ready.crowd), _items(ready, changing))


def bounds(found: Mapping[str, Any]) -> list[Target]:
    """What line 8 asks for."""
    said, events, memory = found["answers other than right"], found["events"], found["memory, MiB"]
    first, last = (found["minutes"][place]["p99, ms"] for place in (0, -1))
    return [
        Target("requests answered with other than 200", said["requests"], 0, below=True),
        Target("events answered with other than 200", said["events"], 0, below=True),
        Target("changes of items answered with other than 200", said["items"], 0, below=True),
        Target("new versions that serve", found["versions served"], len(SWAPS)),
        Target("processes that ended, faults that were logged", found["ended or faulty"], 0, below=True),
        Target("events accepted, less those stored", abs(events["accepted"] - events["stored"]), 0, below=True),
        Target("memory: growth after the first 5 minutes", memory["growth"], 0.05, below=True),
        Target("p99 of the last minute to that of the first", last / first, 1.2, below=True),
    ]  # fmt: skip


def _items(ready: Rig, client: httpx.Client) -> Items:
    """Texts of their own, under the first name that the bundle reads."""
    [name, *_] = client.get("/info").json()["item_text"]
    return Items(client, ready.crowd.item_ids[:KNOWN], crowd.unseen(ready.crowd, TEXTS), name)


def _soaked(
    ready: Rig, service: Locked, shelf: Path, part: float, events: Events, items: Items
) -> dict[str, Any]:
    bodies = ready.bodies("soak", asks.ranked(ready.crowd, CANDIDATES, BODIES, seed=43))
    url, core, held = f"{service.address}/recommend", ready.cores.load, Held(service.process.popen.pid)
    rates = [saturate(url, bodies, seconds=3, connections=CONNECTIONS, cores=[core]).rate for _ in range(2)]
    stop = threading.Event()
    with ThreadPoolExecutor(4) as pool:
        begun = time.time()
        load = pool.submit(storm, url, bodies, rate=SHARE * rates[-1], seconds=(PARTS + 1) * part, core=core)
        beside = [
            pool.submit(every, *told, stop)
            for told in ((EVENTS, events.tell), (CHANGES, items.change), (LOOKS, held.look))
        ]
        try:
            swaps = [_swapped(ready, service, shelf, begun + (1 + after) * part, load) for after in SWAPS]
            met = load.result()
        finally:
            stop.set()
        for each in beside:
            each.result()
    with service.client() as client:
        served = client.get("/admin/versions").json()["served"] - 1
    log = service.process.log.read_text(errors="replace")
    return {
        "S (1/s)": rates[-1],
        "rate (1/s)": SHARE * rates[-1],
        "generator's core": met.used,
        "versions served": served if all(swap.status == 200 for swap in swaps) else 0,
        "ended or faulty": int(not service.process.alive) + log.count(" failed\n") + log.count("Traceback"),
        "answers other than right": {
            "requests": int(np.sum(met.status != 200)),
            "429 of them": int(np.sum(met.status == 429)),
            "events": len(events.said.faults),
            "items": len(items.said.faults),
            "the first": "; ".join([*events.said.faults[:1], *items.said.faults[:1]]),
        },
        "events": events.stored(ready.redis),
        **told(met, held, swaps, part, {"events": events.said.times, "items": items.said.times}),
    }


def _swapped(ready: Rig, service: Locked, shelf: Path, when: float, load: Future[Storm]) -> Swap:
    """Ask for a new version at a moment; at once, if the load has failed meanwhile."""
    while time.time() < when and not load.done():
        time.sleep(0.1)
    version = publish(ready.crowd.bundle, shelf)
    with service.client() as client:
        begun = time.time()
        status = client.post("/admin/versions", json={"version": version}, timeout=PATIENCE).status_code
    return Swap(begun, time.time(), status)


def told(
    met: Storm, held: Held, swaps: list[Swap], part: float, beside: Mapping[str, list[float]]
) -> dict[str, Any]:
    """Minute after minute, and memory."""
    looked, resident = np.array(held.times) - met.begun, np.array(held.resident)
    worked, parts, medians = np.array(held.worked), [], []
    for number in range(1, PARTS + 1):
        begin, end = number * part, (number + 1) * part
        some, now = met.within(begin, end), (looked >= begin) & (looked < end)
        good, spent = some.waits[some.status == 200], worked[now]
        medians.append(float(np.median(resident[now])))
        parts.append({
            "requests": len(some.status), "not 200": int(np.sum(some.status != 200)),
            "p50, ms": float(np.median(good)), "p99, ms": some.p99(), "most, ms": float(good.max()),
            "core": float((spent[-1] - spent[0]) / np.ptp(looked[now])) if len(spent) > 1 else 0.0,
            "MiB, median": medians[-1], "MiB, most": float(resident[now].max()),
            **{name: int(np.sum((np.array(times) - met.begun >= begin) & (np.array(times) - met.begun < end)))
               for name, times in beside.items()},
            "versions": sum(begin <= swap.begun - met.begun < end for swap in swaps),
        })  # fmt: skip
    around = [
        (looked >= swap.begun - met.begun) & (looked < swap.done - met.begun + AROUND) for swap in swaps
    ]
    apart = ~np.logical_or.reduce(around)
    return {
        "swaps": [
            {"status": swap.status, "took, s": swap.done - swap.begun, "p99 around it, ms": _around(met, swap),
             "MiB, most": float(resident[now].max(initial=0.0))}
            for swap, now in zip(swaps, around, strict=True)
        ],
        "memory, MiB": {
            "minute 1, median, of one version": medians[0], "minute 6, median": medians[SETTLED],
            "last minute, median": medians[-1],
            "growth": medians[-1] / medians[SETTLED] - 1.0, "most, but around swaps": float(resident[apart].max()),
            "most": float(resident.max()),
        },
        "minutes": parts,
    }  # fmt: skip


def _around(met: Storm, swap: Swap) -> float:
    return met.within(swap.begun - met.begun, swap.done - met.begun + AROUND).p99()


def main(folder: Path, minutes: float, out: Path) -> None:
    """The service on the last core, all else on the first one, where this is too."""
    free = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, free[:1])
    with Progress(disable=True) as progress:
        bench = bundle.make(folder, progress)
    out.write_text(json.dumps(measure(Ground(bench, Cores(free[-1], free[0])), minutes)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3]))
