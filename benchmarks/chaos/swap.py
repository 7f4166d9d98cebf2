"""New versions under load: what callers notice of one, of a roll back, of bad ones, and what fifty leave behind."""

import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from app import keyring
from app.versions import LINGER_SECONDS
from benchmarks.chaos.drill import Ground
from benchmarks.chaos.harms import HARMS, Harm
from benchmarks.chaos.storm import Storm, storm
from benchmarks.speed import asks, lineup
from benchmarks.speed.bundle import NAME
from benchmarks.speed.process import Process, wait
from benchmarks.speed.rig import CONNECTIONS, Rig
from benchmarks.speed.targets import Target
from benchmarks.speed.wrk import run as saturate
from model_store.bundle import MANIFEST, Bundle
from model_store.shelf import Shelf

LINE, SECONDS = 3, 240.0
CANDIDATES, SHARE = 100, 0.8
SETTLE, CALM = 2.0, 20.0  # seconds: left out at first, then before the first wish
WINDOW, AFTER = 10.0, 5.0  # seconds that are looked at from a wish on, and at least once it came true
ROUNDS, LONGEST = 3, 25.0  # swaps under load, and seconds that one may take: it gets what requests leave
SWAPS, HELD = 50, 2  # swaps in all, and those after which memory is as it stays: two versions are held
GAP, PATIENCE = 0.005, 120.0  # seconds between two requests while bad ones are asked for; for one answer

TOLD = (
    "Requests for known users with 100 candidates. S: a closed loop of 8. At 0.8 S, as they come: 20 s of calm, then "
    "three times a new version is asked for at /admin/versions, then a roll back. Around: from the wish on, through "
    "checks, warm-up and swap, until 5 s after it serves, 10 s at least; the ratio is that of its p99 to that of the "
    "calm. Bad bundles are asked for one after another, while one caller asks on. Memory is what the "
    "process alone holds (USS) after 50 swaps without load, of a bundle with 1,000 items, against that after two."
)


@dataclass(frozen=True)
class Stage:
    """A service, one who may ask it for versions, and bodies to ask it for items."""

    process: Process
    client: httpx.Client
    shelf: Path
    bodies: Path

    @property
    def url(self) -> str:
        """Where items are asked for."""
        return f"{self.client.base_url}/recommend"

    def wish(self, version: int) -> httpx.Response:
        """Ask for a version; answered once it serves or was refused."""
        return self.client.post("/admin/versions", json={"version": version})


def publish(bundle: Bundle, shelf: Path, harm: Harm | None = None) -> int:
    """The bundle once more, under another fingerprint: nothing that caches hold is of it. Returns the version."""
    harm = harm or Harm("")
    with Shelf(shelf).draft(NAME) as draft:
        for path in bundle.folder.iterdir():
            if path.name != MANIFEST:
                (shutil.copyfile if harm.reason else os.link)(path, draft / path.name)
        (draft / "proof.txt").write_text(str(time.time_ns()))
        if harm.before:
            harm.before(draft)
        sealed = Shelf(shelf).publish(draft, bundle.manifest.model_copy(update=harm.fields))
    if harm.after:
        harm.after(sealed.folder)
    return sealed.manifest.version


def measure(ground: Ground) -> dict[str, Any]:
    """Under load, with bad ones, and many."""
    bench = ground.bench
    large, small = Bundle.open(bench.bundle), Bundle.open(bench.folder / "drafts" / NAME / "1")
    with ground.rig() as ready:
        with _staged(ready, large) as stage:
            loaded = _loaded(ready, stage, large)
            bad = _bad(stage, small)
        with _staged(ready, small) as stage:
            return {**loaded, "bad": bad, "memory": _many(stage, small)}


def bounds(found: Mapping[str, Any]) -> list[Target]:
    """What line 3 asks for of swaps."""
    swaps, back, bad = found["swaps"], found["roll back"], found["bad"]
    return [
        Target("swap at 0.8 S: requests without 200", sum(map(_failed, swaps)), 0, below=True),
        Target("swap at 0.8 S: p99 around it to that before", max(each["ratio"] for each in swaps), 1.5, below=True),
        Target("roll back: requests without 200", _failed(back), 0, below=True),
        Target("roll back: s", back["took, s"], 1, below=True),
        Target("bad bundles refused with the reason", bad["refused"], len(HARMS)),
        Target("bad bundles: requests without 200", bad["requests"] - bad["200"], 0, below=True),
        Target("bad bundles: answers of one of them", bad["answers of a bad one"], 0, below=True),
        Target(f"{SWAPS} swaps: memory growth", found["memory"]["growth"], 0.1, below=True),
    ]  # fmt: skip


def _failed(around: Mapping[str, Any]) -> int:
    return int(around["requests"] - around["200"])


def _loaded(ready: Rig, stage: Stage, bundle: Bundle) -> dict[str, Any]:
    """One load from the calm to the end of the roll back; ends the drill if versions take longer than it lasts."""
    cores = [ready.cores.load]
    rates = [
        saturate(stage.url, stage.bodies, seconds=3, connections=CONNECTIONS, cores=cores).rate
        for _ in range(2)
    ]
    versions = [publish(bundle, stage.shelf) for _ in range(ROUNDS)]
    seconds = SETTLE + CALM + ROUNDS * (LONGEST + AFTER) + WINDOW + AFTER
    rate, core = SHARE * rates[-1], ready.cores.load
    with ThreadPoolExecutor(1) as pool:
        load = pool.submit(storm, stage.url, stage.bodies, rate=rate, seconds=seconds, core=core)
        time.sleep(SETTLE + CALM + 1.0)  # the generator takes a while to begin
        swaps = [_timed(lambda version=version: stage.wish(version)) for version in versions]
        back = _timed(lambda: stage.client.post("/admin/rollback"))
        met = load.result()
    if back[1] - met.begun > seconds - AFTER:
        raise SystemExit(f"three versions and a roll back took {back[1] - swaps[0][0]:.0f} s under load")
    calm = met.within(SETTLE, swaps[0][0] - met.begun)
    return {
        "S (1/s)": rates[-1],
        "generator's core": met.used,
        "calm": _seen(calm),
        "swaps": [_around(met, calm, *each) for each in swaps],
        "roll back": _around(met, calm, *back),
    }


def _timed(act: Callable[[], httpx.Response]) -> tuple[float, float]:
    """Do it, and wait until what it did can be seen. Returns when it was begun and done, unix seconds."""
    begun = time.time()
    act().raise_for_status()
    done = time.time()
    time.sleep(max(WINDOW - (done - begun), AFTER))
    return begun, done


def _around(met: Storm, calm: Storm, begun: float, done: float) -> dict[str, Any]:
    begin, end = begun - met.begun, done - met.begun
    some = met.within(begin, max(begin + WINDOW, end + AFTER))
    return {"took, s": done - begun} | _seen(some) | {"ratio": some.p99() / calm.p99()}


def _seen(some: Storm) -> dict[str, Any]:
    status = Counter(some.status.tolist())
    return {
        "requests": len(some.status), "200": status[200], "429": status[429],
        "other": len(some.status) - status[200] - status[429],
        "median, ms": float(np.median(some.waits)), "p99, ms": some.p99(), "most, ms": float(some.waits.max()),
    }  # fmt: skip


def _bad(stage: Stage, bundle: Bundle) -> dict[str, Any]:
    """Each kind of harm in turn; what it is answered, and what others are meanwhile."""
    served = stage.client.get("/admin/versions").json()["served"]
    lines = cycle(stage.bodies.read_bytes().splitlines())
    told: dict[str, str] = {}
    met = Counter[tuple[int, int]]()  # by status and version
    with ThreadPoolExecutor(1) as pool:
        for name, harm in HARMS.items():
            asked = pool.submit(stage.wish, publish(bundle, stage.shelf, harm))
            while not asked.done():
                answer = stage.client.post("/recommend", content=next(lines))
                met[answer.status_code, answer.json().get("model", {}).get("version", served)] += 1
                time.sleep(GAP)
            right = asked.result().status_code == 409 and harm.reason in asked.result().text
            told[name] = "refused" if right else asked.result().text[:200]
    return {
        "refused": sum(each == "refused" for each in told.values()),
        "requests": met.total(),
        "200": sum(count for (status, _), count in met.items() if status == 200),
        "answers of a bad one": sum(count for (_, version), count in met.items() if version != served),
        "kinds": told,
    }


def _many(stage: Stage, bundle: Bundle) -> dict[str, float]:
    """Swap after swap, a few requests to each version; memory in MiB once what was let go is given back."""
    lines, held = stage.bodies.read_bytes().splitlines()[:20], []
    start = time.perf_counter()
    for number in range(1, SWAPS + 1):
        version = publish(bundle, stage.shelf)
        stage.wish(version).raise_for_status()
        for line in lines:
            stage.client.post("/recommend", content=line).raise_for_status()
        shutil.rmtree(stage.shelf / NAME / str(version - HELD), ignore_errors=True)
        if number in (HELD, SWAPS):
            took = time.perf_counter() - start
            time.sleep(LINGER_SECONDS + 0.5)
            held.append(stage.process.memory().unique)
    return {
        "s": took,
        "at first, MiB": held[0],
        "at the end, MiB": held[-1],
        "growth": held[-1] / held[0] - 1,
    }


@contextmanager
def _staged(ready: Rig, bundle: Bundle) -> Iterator[Stage]:
    """The service with a shelf of its own, and a key to it."""
    folder, key = ready.folder / "swap", keyring.make()
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "shelf").mkdir(parents=True)
    keyring.add(
        folder / "keys", keyring.key(name="drill", scopes=("admin",), sha256=keyring.digest(key.encode()))
    )
    os.environ["SPEED_KEY"] = key
    publish(bundle, folder / "shelf")
    told = {"store": folder / "shelf", "version": 1, "api_keys_file": folder / "keys"}
    crowd = replace(ready.crowd, bundle=bundle)
    bodies = asks.write(asks.ranked(crowd, CANDIDATES, 500), folder / "asks.jsonl")
    with (
        ready.start(lineup.Contender(lineup.CHORUS, "app", "", told)) as served,
        httpx.Client(base_url=served.address, headers={"X-API-Key": key}, timeout=PATIENCE) as client,
    ):
        stage = Stage(served.process, client, folder / "shelf", bodies)
        wait(served.process, lambda: is_ready(client), PATIENCE)
        yield stage


def is_ready(client: httpx.Client) -> bool:
    """Whether the service says so."""
    try:
        return client.get("/health/ready").status_code == 200
    except httpx.TransportError:
        return False
