"""A canary's share of ten thousand users, and what a shadow costs those who do not know of it."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from app import keyring
from benchmarks.chaos.drill import Ground
from benchmarks.chaos.storm import Storm, storm
from benchmarks.chaos.swap import is_ready, publish
from benchmarks.speed import asks, lineup
from benchmarks.speed.link import links, request
from benchmarks.speed.process import wait
from benchmarks.speed.rig import READY, Rig
from benchmarks.speed.targets import Target
from benchmarks.speed.wrk import run as saturate

LINE, SECONDS = 3, 180.0
USERS, SHARES = 10_000, (0.05, 0.2)
CONNECTIONS, WORKERS = 16, 2
CANDIDATES, LOAD = 500, 0.65
ROUNDS, ROUND_SECONDS = 8, 4.0

TOLD = (
    "Canary: 10,000 users ask two workers for one item each: at 5 %, again over other connections in another order, "
    "at 20 %, and some after the drop. Shadow: known users with 500 candidates at 0.65 S, eight times 4 s with a "
    "shadow of all requests and without, in turn, the same arrivals each time. The ratio is the median of the pairs'."
)


def measure(ground: Ground) -> dict[str, Any]:
    """First the share, then the cost."""
    with ground.rig() as ready:
        with _served(ready, WORKERS) as client:
            found = {"canary": _canary(client, ready)}
        with _served(ready, 1) as client:
            return found | {"shadow": _shadow(client, ready)}


def bounds(found: Mapping[str, Any]) -> list[Target]:
    """What line 3 asks for."""
    canary, shadow = found["canary"], found["shadow"]
    return [
        Target("canary: share off by", canary["share off by"], 0.01, below=True),
        Target(
            "canary: users asked twice, answered by another", canary["another the second time"], 0, below=True
        ),
        Target("canary: users lost when the share grew", canary["lost when it grew"], 0, below=True),
        Target("canary: users left after the drop", canary["left after the drop"], 0, below=True),
        Target("shadow: p99 to that without", shadow["p99 to that without"], 1.02, below=True),
        Target("shadow: requests compared", shadow["compared"], 1, below=False),
        Target("shadow: answers other than 200", shadow["other than 200"], 0, below=True),
    ]


def _canary(client: httpx.Client, ready: Rig) -> dict[str, Any]:
    item = ready.crowd.item_ids[0]
    bodies = [{"user_id": f"canary-{number}", "candidates": [item], "k": 1} for number in range(USERS)]
    order = np.random.default_rng(3).permutation(USERS)
    url = f"{client.base_url}/recommend"
    few, more = SHARES
    _label(client, "canary", share=few)
    first = _chosen(url, bodies)
    again = np.empty(USERS, dtype=bool)
    again[order] = _chosen(url, [bodies[number] for number in order.tolist()])
    _label(client, "canary", share=more)
    grown = _chosen(url, bodies)
    client.post("/admin/drop", json={"label": "canary"}).raise_for_status()
    return {
        "users": USERS,
        "share of 0.05": float(first.mean()),
        "share of 0.2": float(grown.mean()),
        "share off by": max(abs(float(first.mean()) - few), abs(float(grown.mean()) - more)),
        "another the second time": int((first != again).sum()),
        "lost when it grew": int((first & ~grown).sum()),
        "left after the drop": int(_chosen(url, bodies[:1_000]).sum()),
    }


def _chosen(url: str, bodies: Sequence[Mapping[str, Any]]) -> NDArray[np.bool_]:
    """Whom version 2 answers, (n,). SystemExit if anybody is answered with other than 200."""
    opened, found = links(url, CONNECTIONS), []
    for start in range(0, len(bodies), CONNECTIONS):
        some = bodies[start : start + CONNECTIONS]
        for link, body in zip(opened, some, strict=False):
            link.ask(request(url, json.dumps(body).encode()))
        for link in opened[: len(some)]:
            while (head := link.answer()) is None:
                pass
            if b" 200 " not in head[:16]:
                raise SystemExit(f"a user was answered with {head[:32]!r}")
            version = head.partition(b"x-model-version: ")[2].partition(b"\r\n")[0]
            found.append(version.endswith(b"/2"))
    for link in opened:
        link.socket.close()
    return np.array(found)


def _shadow(client: httpx.Client, ready: Rig) -> dict[str, Any]:
    client.post("/admin/versions", json={"version": 2}).raise_for_status()
    client.post("/admin/rollback").raise_for_status()  # so it is held: a shadow comes and goes at once
    url, cores = f"{client.base_url}/recommend", [ready.cores.load]
    file = ready.bodies("shadow", asks.ranked(ready.crowd, CANDIDATES, 500))
    rates = [saturate(url, file, seconds=3, connections=8, cores=cores).rate for _ in range(2)]
    met: dict[bool, list[Storm]] = {False: [], True: []}
    for number in range(ROUNDS):
        for shaded in (False, True) if number % 2 else (True, False):
            if shaded:
                _label(client, "shadow")
            met[shaded].append(
                storm(url, file, rate=LOAD * rates[-1], seconds=ROUND_SECONDS, core=ready.cores.load)
            )
            if shaded:
                client.post("/admin/drop", json={"label": "shadow"}).raise_for_status()
    with_it, without = (np.concatenate([each.waits for each in met[shaded]]) for shaded in (True, False))
    pairs = [one.p99() / other.p99() for one, other in zip(met[True], met[False], strict=True)]
    counted = {name: _counted(client, name) for name in ("compared", "dropped", "failed")}
    return {
        "S (1/s)": rates[-1],
        "requests": len(with_it) + len(without),
        "other than 200": sum(int((each.status != 200).sum()) for some in met.values() for each in some),
        "p99 with, ms": float(np.percentile(with_it, 99)),
        "p99 without, ms": float(np.percentile(without, 99)),
        "p99 to that without": float(np.median(pairs)),
        "a quarter of the pairs below": float(np.percentile(pairs, 25)),
        "a quarter of the pairs above": float(np.percentile(pairs, 75)),
        **counted,
    }


def _label(client: httpx.Client, label: str, **more: float) -> None:
    body = {"version": 2, "label": label, **more}
    client.post("/admin/versions", json=body).raise_for_status()


def _counted(client: httpx.Client, result: str) -> float:
    line = f'chorus_shadow_requests_total{{result="{result}"}} '
    found = [each for each in client.get("/metrics").text.splitlines() if each.startswith(line)]
    return float(found[0].removeprefix(line)) if found else 0.0


@contextmanager
def _served(ready: Rig, workers: int) -> Iterator[httpx.Client]:
    """A service with two versions, of which the first is stable, and a client who may do anything."""
    folder, key = ready.folder / "canary", keyring.make()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    own = keyring.key(name="drill", scopes=("admin",), sha256=keyring.digest(key.encode()))
    keyring.add(folder / "keys", own)
    os.environ["SPEED_KEY"] = key
    for _ in range(2):
        publish(ready.crowd.bundle, folder / "shelf")
    contender = lineup.chorus(
        "canary", store=folder / "shelf", version=1, api_keys_file=folder / "keys", workers=workers,
        local_cache=20_000,
    )  # fmt: skip
    with (
        ready.start(contender) as served,
        httpx.Client(base_url=served.address, headers={"X-API-Key": key}, timeout=READY) as client,
    ):
        wait(served.process, lambda: is_ready(client), READY)
        yield client
