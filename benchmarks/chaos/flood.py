"""More than can be done, deadlines that pass, and callers who hang up.

python -m benchmarks.chaos.flood [--seconds 30]
"""

import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import httpx
import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress

from benchmarks import record
from benchmarks.chaos.storm import Storm, storm
from benchmarks.speed import asks, bundle, crowd, lineup
from benchmarks.speed.link import Link, links, request
from benchmarks.speed.rig import CONNECTIONS, Cores, Rig, Served, rig

CALM, AFTER, TIMES = 10.0, 5.0, 3.0
CANDIDATES, SHARE = 500, 0.8
PROBES = 0.05  # seconds between two looks at liveness
JAM, LATE, DEADLINE = 256, 64, 50  # texts ahead, requests behind them, milliseconds

TOLD = (
    "Known users, 500 candidates. S: a closed loop of 8. Then as they come (Poisson): 0.8 S for 10 s, 3 S, 0.8 S. "
    "Late: 64 requests with texts of their own and a deadline of 50 ms stand behind 256 texts; gone: the same "
    "without a deadline, their callers hang up."
)


def measure(ready: Rig, seconds: float) -> dict[str, Any]:
    """Overload, then deadlines and callers who hang up."""
    with ready.serve(lineup.chorus("flood", local_cache=20_000, max_wait_ms=50)) as served:
        return {"overload": overload(ready, served, seconds), **waits(ready, served)}


def overload(ready: Rig, served: Served, seconds: float) -> dict[str, Any]:
    """Saturation, and three times as much."""
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
        flood = run(TIMES, seconds)
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
        "3 S, goodput of S": float(np.sum(good)) / seconds / most,
        "3 S, generator's core": flood.used,
        "liveness failed": sum(status != 200 for status, _ in probes),
        "liveness, p99 ms": float(np.percentile([wait for _, wait in probes], 99)),
        "2 s after, p99 ms": after.p99(since=2.0),
        "2 s after, refused": float(np.mean(after.status[after.due >= 2.0] == 429)),
    }


def waits(ready: Rig, served: Served) -> dict[str, Any]:
    """Requests that wait for a text behind many others: late ones, and those whose caller has gone."""
    texts = crowd.unseen(ready.crowd, 2 * (JAM + LATE))
    late, gone = texts[: JAM + LATE], texts[JAM + LATE :]
    told = {}
    for name, some in (("late", late), ("gone", gone)):
        before = _counted(served)
        with ThreadPoolExecutor(1) as pool:
            jam = pool.submit(served.post, "/score", {"texts": some[:JAM]})
            while _counted(served)["texts"] < JAM / 2 and not jam.done():
                time.sleep(0.001)
            over = _behind(served, some[JAM:], hang_up=name == "gone")
            jam.result()
        time.sleep(0.2)
        after = _counted(served)
        counted = {each: after[each] - before[each] for each in after}
        told[name] = {
            "requests": LATE,
            "runs for them": counted["encodes"] - JAM,
            "counted": counted["expired" if name == "late" else "abandoned"],
        }
        if over:
            told[name] |= {"504": len(over), "beyond the deadline, p99 ms": float(np.percentile(over, 99))}
    return told


def _behind(served: Served, texts: list[str], *, hang_up: bool) -> list[float]:
    """Milliseconds beyond the deadline of each that is told 504."""
    url = f"{served.address}/recommend"
    opened = links(url, len(texts))
    for link, text in zip(opened, texts, strict=True):
        whole = request(url, json.dumps({"query": text, "k": 1}).encode())
        head = b"" if hang_up else b"\r\nX-Request-Timeout-Ms: %d" % DEADLINE
        asked = time.perf_counter()
        link.ask(whole.replace(b"\r\n\r\n", head + b"\r\n\r\n", 1), asked)
    if hang_up:
        time.sleep(0.02)  # they are read
        for link in opened:
            link.socket.close()
        return []
    with ThreadPoolExecutor(len(opened)) as pool:
        return [wait for wait in pool.map(_wait, opened) if wait is not None]


def _wait(link: Link) -> float | None:
    while (head := link.answer()) is None:
        pass
    over = 1e3 * (time.perf_counter() - link.due) - DEADLINE
    link.socket.close()
    return over if b" 504 " in head[:16] else None


def _counted(served: Served) -> dict[str, float]:
    lines = httpx.get(f"{served.address}/metrics").text.splitlines()

    def total(name: str) -> float:
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"chorus_{name}"))

    names = ("expired_total", "abandoned_total", 'encodes_total{encoder="text"}', "texts_waiting")
    return {name.partition("_")[0]: total(name) for name in names}


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


def main(
    seconds: Annotated[float, typer.Option(help="How long the flood lasts.")] = 30.0,
    folder: Annotated[Path, typer.Option(help="Where the bundle is kept.")] = Path("var/bench"),
    peers: Annotated[Path, typer.Option(help="A Python with the service in it.")] = Path(".venv/bin/python"),
) -> None:
    """A minute; 30 seconds of flood write chaos-flood.json and .md."""
    free = sorted(os.sched_getaffinity(0))
    with Progress() as progress:
        bench = bundle.make(folder.absolute(), progress)
    cores = Cores(free[-1], free[0])
    with rig(bench, cores=cores, peers=peers, console=Console(stderr=True), quick=True) as ready:
        found = measure(ready, seconds)
    told = tables(found)
    typer.echo(told)
    if seconds >= 30.0:
        record.write("chaos-flood", found, protocol=TOLD, told=told)


def tables(found: dict[str, Any]) -> str:
    """A row a number."""
    rows = [[drill, name, value] for drill, values in found.items() for name, value in values.items()]
    return record.table(["drill", "what", "found"], rows)


if __name__ == "__main__":
    typer.run(main)
