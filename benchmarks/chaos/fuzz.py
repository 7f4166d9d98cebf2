"""Whatever can be sent: what the service's own OpenAPI allows and forbids, and what is no request at all."""

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmarks.chaos import sockets
from benchmarks.chaos.drill import Ground
from benchmarks.chaos.locked import Locked, locked
from benchmarks.chaos.storm import storm
from benchmarks.speed import asks
from benchmarks.speed.process import on
from benchmarks.speed.rig import Rig
from benchmarks.speed.rounds import order, spread
from benchmarks.speed.targets import Target

LINE, SECONDS = 6, 280.0
CASES = 10_000
VALID, ALL = 220, 30  # random examples of an operation: wrong ones take six times as long to make
RECEIVE = 3.0  # seconds that a request may take to arrive
RATE, LENGTH, CANDIDATES, ROUNDS = 200.0, 3.0, 100, 6  # the loads after, all bodies and more in each
SETTLE = 6.0  # seconds: those who say nothing are hung up, memory is given back

TOLD = (
    "schemathesis on the service's OpenAPI with a key that may do everything, three runs at once: boundary values, "
    "random ones and calls that follow each other, valid and not; more that are valid; and the same with the names "
    "that the bundle knows put in, so that more gets past the first check. The service counts statuses. "
    "Then what no client sends, over sockets: heads, framing, bodies to every endpoint that takes one, slow and rude "
    "connections; a request may take 3 s to arrive, others ask for what is right meanwhile. Hung: not ended within "
    "that, 3 s of grace and 5 s of keep-alive. Memory: resident, before, at its peak (looked at ten times a second), "
    "and 6 s after. Load: known users with 100 candidates, 200 a second for 3 s, of the service and of its twin: "
    "started with it, on the same core, with a Redis of its own, and left alone meanwhile. Once to warm each, then "
    "six times in turn with the same arrivals; a ratio is that of one round, told is their median. A deadline is as "
    "long as a minute, so that who is slow to send is told so, with 408, and not that his time is over."
)


def measure(ground: Ground) -> dict[str, Any]:
    """All of it, on one service."""
    settings = {"receive_seconds": RECEIVE, "request_timeout_ms": 60_000}
    with (
        ground.rig() as apart,
        locked(apart, "twin", **settings) as twin,
        ground.rig() as ready,
        locked(ready, "fuzz", **settings) as service,
        service.client() as client,
    ):
        bodies = ready.bodies("fuzz", asks.ranked(ready.crowd, CANDIDATES, 500, seed=31))
        _load(ready, service, bodies)  # what it holds before is that of one at work
        with _peak(service.process.popen.pid) as held:
            asked = _counted(client.get("/metrics").text)
            generated = _schemathesis(ready, service)
            answered = _counted(client.get("/metrics").text) - asked
            cases = sockets.suffer(service, RECEIVE)
            time.sleep(SETTLE)
        load = _compared(ready, {"fuzzed": service, "twin": twin}, bodies)
        statuses = _counted(client.get("/metrics").text) - asked
        log = service.process.log.read_text(errors="replace")
        return {
            "cases": generated,
            "answers of schemathesis": _rows(answered),
            "sockets": cases,
            "5xx": sum(number for (_, code), number in statuses.items() if code[0] == "5"),
            "memory, MiB": held,
            "load": load,
            "ended or faulty": int(not service.process.alive)
            + log.count(" failed\n")
            + log.count("Traceback"),
        }


def bounds(found: Mapping[str, Any]) -> list[Target]:
    """What line 6 asks for."""
    outcomes, memory = found["sockets"]["cases"].values(), found["memory, MiB"]
    ratios = found["load"]["fuzzed to twin"]
    return [
        Target("cases of schemathesis", sum(run["cases"] for run in found["cases"].values()), CASES),
        Target(
            "failures that it found", sum(run["failures"] for run in found["cases"].values()), 0, below=True
        ),
        Target("answers 5xx, of all", found["5xx"], 0, below=True),
        Target("processes that ended, faults that were logged", found["ended or faulty"], 0, below=True),
        Target("sockets: 5xx", sum(each["5xx"] for each in outcomes), 0, below=True),
        Target(
            "sockets: answered as if they were right", sum(each["wrong"] for each in outcomes), 0, below=True
        ),
        Target("sockets: hung", sum(each["hung"] for each in outcomes), 0, below=True),
        Target("beside them: others not answered with 200", found["sockets"]["others failed"], 0, below=True),
        Target("memory at its peak, to before", memory["peak"] / memory["before"], 2.0, below=True),
        Target("memory after, to before", memory["after"] / memory["before"], 1.25, below=True),
        Target("after: p50 to that of a twin", ratios["p50, ms"]["median"], 1.15, below=True),
        Target("after: p99 to that of a twin", ratios["p99, ms"]["median"], 1.5, below=True),
    ]


def _schemathesis(ready: Rig, service: Locked) -> dict[str, dict[str, int]]:
    """Three runs at once: what each sent, and how many failures it found."""
    with service.client() as client:
        document, info = client.get("/openapi.json").json(), client.get("/info").json()
    told = {
        "valid and not": (document, "all", ALL),
        "valid": (document, "positive", VALID),
        "valid, with known names": (_named(document, info), "positive", VALID),
    }
    running = {}
    for seed, (name, (content, mode, each)) in enumerate(told.items(), 1):
        path = ready.folder / f"openapi-{seed}.json"
        path.write_text(json.dumps(content))
        command = [
            str(Path(sys.executable).with_name("schemathesis")), "run", str(path), "--url", service.address,
            "--header", f"Authorization: Bearer {service.key}", "--checks", "not_a_server_error",
            "--max-examples", str(each), "--seed", str(seed), "--mode", mode, "--continue-on-failure",
            "--no-shrink", "--no-color", "--suppress-health-check", "all", "--request-timeout", "30",
        ]  # fmt: skip
        cores = [ready.cores.load, ready.cores.server]
        running[name] = subprocess.Popen(
            on(cores, command), cwd=ready.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
    return {name: _run(run.communicate()[0], run.returncode) for name, run in running.items()}


def _run(said: str, code: int) -> dict[str, int]:
    """What a run says of itself at its end."""
    sent = re.search(r"(\d+) generated", said)
    if sent is None or code not in (0, 1):
        raise SystemExit(f"schemathesis failed: {said[-500:]}")
    failures = re.search(r"= (\d+) failures?", said)
    return {"cases": int(sent[1]), "failures": int(failures[1]) if failures else code}


def _named(document: Any, info: Mapping[str, Any]) -> Any:
    """The document, with the names that this bundle knows where any would be allowed."""
    statistics = info["statistics"] or {"events": [], "latest": []}
    names = {
        "text": info["item_text"], "profile": info["profile_text"], "numbers": info["numbers"],
        "attributes": info["attributes"], "filters": [*info["attributes"], "exclude"],
        "weights": [task["name"] for task in info["tasks"] if task["scalar"]], "values": statistics["latest"],
    }  # fmt: skip
    if isinstance(document, list):
        return [_named(each, info) for each in document]
    if not isinstance(document, dict):
        return document
    told = {key: _named(value, info) for key, value in document.items()}
    properties = told.get("properties", {})
    for name, known in names.items():
        if known and name in properties:
            properties[name] = {"allOf": [properties[name], {"propertyNames": {"enum": known}}]}
    if "event" in properties:
        properties["event"] = {"enum": [*info["events"], *statistics["events"]]}
    return told


def _compared(ready: Rig, services: Mapping[str, Locked], bodies: Path) -> dict[str, Any]:
    """What each answers in every round, and the first one's ratio to the other one's."""
    for service in services.values():
        _load(ready, service, bodies)
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in services}
    for number in range(ROUNDS):
        for name in order(list(services), number):
            rounds[name].append(_load(ready, services[name], bodies))
    first, other = rounds.values()
    ratios = {}
    for name in ("p50, ms", "p99, ms", "processor, ms a request"):
        told = spread([one[name] / two[name] for one, two in zip(first, other, strict=True)])
        ratios[name] = {"median": told["median"], "least": told["min"], "most": told["max"]}
    return {"fuzzed to twin": ratios, **rounds}


def _load(ready: Rig, service: Locked, bodies: Path) -> dict[str, float]:
    """A small load, as it comes."""
    os.environ["SPEED_KEY"] = service.key
    spent = service.process.seconds()
    url = f"{service.address}/recommend"
    met = storm(url, bodies, rate=RATE, seconds=LENGTH, core=ready.cores.load)
    spent = service.process.seconds() - spent
    p50, p99 = np.percentile(met.waits[met.status == 200], [50, 99]).tolist()
    return {
        "requests": len(met.status),
        "not 200": int(np.sum(met.status != 200)),
        "p50, ms": p50,
        "p99, ms": p99,
        "processor, ms a request": 1e3 * spent / len(met.status),
    }


@contextmanager
def _peak(pid: int) -> Iterator[dict[str, float]]:
    """Fills in what a process held before, at most, and after."""
    process, stop = psutil.Process(pid), threading.Event()

    def held() -> float:
        return float(process.memory_info().rss) / 2**20

    told = {"before": held(), "peak": held(), "after": 0.0}

    def look() -> None:
        while not stop.wait(0.1):
            told["peak"] = max(told["peak"], held())

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield told
    finally:
        stop.set()
        looking.join()
        told["after"] = held()


def _counted(metrics: str) -> Counter[tuple[str, str]]:
    """Answers by endpoint and status, as the service counted them."""
    lines = re.findall(
        r'^chorus_requests_total\{code="(\d+)",endpoint="([^"]+)"\} (\S+)', metrics, re.MULTILINE
    )
    return Counter({(endpoint, code): int(float(number)) for code, endpoint, number in lines})


def _rows(counted: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """By endpoint, then by the kind of status."""
    return {
        endpoint: {
            f"{kind}xx": sum(n for (one, code), n in counted.items() if one == endpoint and code[0] == kind)
            for kind in "245"
        }
        for endpoint in sorted({endpoint for endpoint, _ in counted})
    }
