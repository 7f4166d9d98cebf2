"""Redis refused, silent, slow, cut off, full, replaced: what callers notice, and what becomes of their events."""

import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from app import keys
from benchmarks.chaos.drill import Ground
from benchmarks.chaos.faults import FAULTS, Fault, Store, stored
from benchmarks.chaos.storm import Storm, storm
from benchmarks.redis_drill import free
from benchmarks.speed import asks, crowd, lineup
from benchmarks.speed.bundle import Bench
from benchmarks.speed.crowd import Crowd, moment
from benchmarks.speed.process import running, wait
from benchmarks.speed.rig import Cores
from benchmarks.speed.targets import Target
from benchmarks.speed.wrk import run as saturate

LINE, SECONDS = 2, 270.0
SETTLE, PERIOD = 1.0, 4.0  # seconds left out at first; of each part: before, during and after a fault
SUDDEN = 0.5  # seconds at its beginning in which the breaker opens
STARTS = 1.0  # seconds until the generator has begun, about: the windows are by when it did
SHARE, CANDIDATES, CONNECTIONS = 0.3, 100, 8
PAUSE = 0.02  # seconds between two events
PATIENCE = 20.0

TOLD = (
    "Requests for known users with 100 candidates at 0.3 of saturation, as they come, and an event every 20 ms, each "
    "for a user of its own. The same requests come again every four seconds, at the same moments of them; for four "
    "seconds there is a fault. Added: the p99 of the half second in which it begins, and of the rest of it, less "
    "that of the same requests four seconds before; after: the same of the seconds once it has healed, less that of "
    "eight seconds before. Healed: from the end of the fault until /health says ok. Lost: events that were accepted "
    "and are not there at the end. Twice: events that were sent again after a refusal, by the same id, and are there "
    "twice."
)


@dataclass
class Teller:
    """Posts an event after another from a thread of its own, and remembers what was said of each."""

    address: str
    name: str
    item: str
    said: dict[str, int] = field(default_factory=dict)  # event id to the last status
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Until `stop`."""
        with httpx.Client(base_url=self.address, timeout=PATIENCE) as client:
            while not self._stop.wait(PAUSE):
                self._post(client, uuid.uuid4().hex)

    def stop(self) -> None:
        """After the event that it is at."""
        self._stop.set()

    def user(self, event: str) -> str:
        """Whom an event is of."""
        return f"{self.name}-{event}"

    def again(self) -> None:
        """Send what was refused once more; ends the drill if that is refused too."""
        with httpx.Client(base_url=self.address, timeout=PATIENCE) as client:
            for event in [event for event, status in self.said.items() if status != 200]:
                self._post(client, event)
                if self.said[event] != 200:
                    raise SystemExit(f"an event was refused after the fault: {self.said[event]}")

    def _post(self, client: httpx.Client, event: str) -> None:
        body = {
            "event_id": event, "user_id": self.user(event), "item_id": self.item, "event": "click",
            "timestamp": moment(time.time()),
        }  # fmt: skip
        self.said[event] = client.post("/events", json={"events": [body]}).status_code


@dataclass(frozen=True)
class Stage:
    """A service that reaches Redis through the proxy."""

    store: Store
    address: str
    file: Path
    rate: float
    core: int
    item: str


def measure(ground: Ground) -> dict[str, Any]:
    """Each fault in turn, on one service."""
    folder = ground.bench.folder / "scratch" / "away"
    with staged(ground.bench, ground.cores, folder) as stage:
        return {"rate": stage.rate, "faults": {fault.name: suffer(stage, fault) for fault in FAULTS}}


def bounds(found: Mapping[str, Any]) -> list[Target]:
    """What line 2 asks for, of the worst fault."""
    faults = found["faults"].values()

    def most(name: str) -> float:
        return max(fault[name] for fault in faults)

    lost, twice, not_200, odd = (
        sum(fault[name] for fault in faults)
        for name in ("lost", "twice", "not 200", "other than 200 and 503")
    )
    return [
        Target("answers other than 200", not_200, 0, below=True),
        Target("p99 added while the breaker opens, ms, the most", most("added at once, ms"), 25, below=True),
        Target("p99 added once it is open, ms, the most", most("added during, ms"), 1, below=True),
        Target("seconds until healed, the most", most("healed, s"), 5, below=True),
        Target("events accepted and not stored", lost, 0, below=True),
        Target("events stored twice", twice, 0, below=True),
        Target("events answered with other than 200 and 503", odd, 0, below=True),
    ]


@contextmanager
def staged(bench: Bench, cores: Cores, folder: Path) -> Iterator[Stage]:
    """Redis, proxy and service, filled and warm."""
    folder.mkdir(parents=True, exist_ok=True)
    proxy, port = free(), free()
    command = [sys.executable, "-m", "benchmarks.chaos.proxy"]
    with ExitStack() as stack:
        store = stack.enter_context(stored(folder, cores.load, command, proxy))
        found = crowd.gather(bench)
        _load(bench, found, store, folder)
        contender = lineup.Contender(lineup.CHORUS, "app")
        env = lineup.environment(contender, bench, redis=f"redis://127.0.0.1:{proxy}", port=port)
        program = lineup.command(contender, Path(), port)
        process = stack.enter_context(running("drill", program, env=env, cores=[cores.server], folder=folder))
        address = f"http://127.0.0.1:{port}"
        wait(process, lambda: _health(address) == "ok", 120.0)
        file = asks.write(asks.ranked(found, CANDIDATES, 500), folder / "asks.jsonl")
        url = f"{address}/recommend"
        rates = [
            saturate(url, file, seconds=3, connections=CONNECTIONS, cores=[cores.load]).rate for _ in range(2)
        ]
        yield Stage(store, address, file, SHARE * rates[-1], cores.load, found.item_ids[0])


def suffer(stage: Stage, fault: Fault) -> dict[str, Any]:
    """One fault, under load."""
    teller = Teller(stage.address, fault.name.replace(" ", "-"), stage.item)
    with ThreadPoolExecutor(2) as pool:
        pool.submit(teller.run)
        met = pool.submit(
            storm,
            f"{stage.address}/recommend",
            stage.file,
            rate=stage.rate,
            seconds=SETTLE + 3.0 * PERIOD,
            period=PERIOD,
            core=stage.core,
        )
        try:
            time.sleep(STARTS + SETTLE + PERIOD)
            begun = time.time()
            fault.begin(stage.store)
            time.sleep(PERIOD)
            ended = time.time()
            fault.end(stage.store)
            healed = _healed(stage.address)
            seen = met.result()
        finally:
            teller.stop()
    told = waits(seen, begun - seen.begun, ended - seen.begun, healed)
    return told | {"healed, s": healed} | _events(stage, teller)


def waits(seen: Storm, begun: float, ended: float, healed: float) -> dict[str, Any]:
    """Milliseconds of p99, and the answers that were no 200.

    begun, ended: of the fault, in seconds from the start; healed: seconds that it took from its end on.
    """

    def p99(begin: float, end: float) -> float:
        chosen = seen.within(begin, end).waits
        return float(np.percentile(chosen, 99)) if len(chosen) else inf

    def added(begin: float, end: float, turns: int = 1) -> float:
        return p99(begin, end) - p99(begin - turns * PERIOD, end - turns * PERIOD)

    sudden, over = begun + SUDDEN, begun + PERIOD
    well = ended + healed
    return {
        "requests": len(seen.status),
        "not 200": int((seen.status != 200).sum()),
        "p99 before, ms": p99(begun - PERIOD, begun),
        "added at once, ms": added(begun, sudden),
        "added during, ms": added(sudden, min(ended, over)),
        "after, ms": added(well, ended + PERIOD, 2) if well < ended + PERIOD else inf,
    }


def _events(stage: Stage, teller: Teller) -> dict[str, Any]:
    """What was said of events, and what Redis has of them."""
    accepted = [event for event, status in teller.said.items() if status == 200]
    there = _there(stage.store, teller)
    lost = sum(there[event] == 0 for event in accepted)
    teller.again()
    twice = sum(number > 1 for number in _there(stage.store, teller).values())
    missing = sum(number == 0 for number in _there(stage.store, teller).values())
    return {
        "events": len(teller.said),
        "accepted at first": len(accepted),
        "lost": lost + missing,
        "twice": twice,
        "other than 200 and 503": sum(status not in (200, 503) for status in teller.said.values()),
    }


def _there(store: Store, teller: Teller) -> dict[str, int]:
    """How often Redis holds each event."""
    client, events = store.client, list(teller.said)
    with client.pipeline(transaction=False) as pipe:
        for event in events:
            pipe.llen(keys.user(teller.user(event), keys.HISTORY))
        return dict(zip(events, pipe.execute(), strict=True))


def _healed(address: str) -> float:
    """Seconds until the service says that it is well."""
    start = time.monotonic()
    while _health(address) != "ok":
        if time.monotonic() - start > PATIENCE:
            raise SystemExit("the service did not heal")
        time.sleep(0.02)
    return time.monotonic() - start


def _health(address: str) -> str:
    try:
        return str(httpx.get(f"{address}/health", timeout=PATIENCE).json()["status"])
    except httpx.TransportError:
        return "gone"


def _load(bench: Bench, found: Crowd, store: Store, folder: Path) -> None:
    """Everybody's history, past the proxy."""
    path = crowd.histories(found, folder / "histories.jsonl")
    url = f"redis://127.0.0.1:{store.ports[0]}"
    env = os.environ | {
        name: str(value)
        for name, value in lineup.environment(lineup.chorus(), bench, redis=url, port=0).items()
    }
    subprocess.run(
        [sys.executable, "-m", "app", "load", str(path)], env=env, check=True, stdout=subprocess.PIPE
    )
