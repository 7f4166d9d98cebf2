"""New versions under load: what callers notice of one, of a bad one, of a roll back, and what fifty leave behind.

python -m benchmarks.chaos.swap [--rounds 3] [--swaps 50]
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress

from app import keyring
from app.versions import LINGER_SECONDS
from benchmarks import record
from benchmarks.chaos.storm import Storm, storm
from benchmarks.speed import asks, bundle, lineup
from benchmarks.speed.bundle import NAME, Bench
from benchmarks.speed.process import Process, wait
from benchmarks.speed.rig import Cores, Rig, rig
from benchmarks.speed.wrk import run as saturate
from model_store.bundle import MANIFEST, Bundle
from model_store.shelf import Shelf

SHARE, CANDIDATES, CONNECTIONS = 0.8, 100, 8
SETTLE, WINDOW = 2.0, 10.0  # seconds: left out at first, then before and from the wish on
LOADING, AFTER = 15.0, 5.0  # seconds that it may take, and that are looked at after it
HELD = 2  # swaps after which memory is as it stays: two versions are held from the first one on
PATIENCE = 120.0

TOLD = (
    "Requests for known users with 100 candidates at 0.8 of saturation, as they come (Poisson), on one core. "
    "After 12 s a new version is asked for at /admin/versions. Before: p99 of the 10 s before; around: from "
    "the wish, through the checks, the warm-up and the swap, until 5 s later, 10 s at least. Then a version "
    "that fails its golden requests, a roll back, and a swap after another, none under load; memory is what "
    "the process alone holds (USS), against that after two."
)


@dataclass(frozen=True)
class Stage:
    """A service that serves the first of many versions."""

    process: Process
    client: httpx.Client
    shelf: Path
    url: str
    file: Path
    rate: float
    core: int

    def wish(self, version: int) -> httpx.Response:
        """Ask for a version; answered once it serves or was refused."""
        return self.client.post("/admin/versions", json={"version": version})

    @property
    def memory(self) -> float:
        """MiB."""
        return self.process.memory().unique


def measure(stage: Stage, bench: Bench, rounds: int, swaps: int) -> dict[str, Any]:
    """All of it, on one service."""
    found: dict[str, Any] = {"rate": stage.rate}
    found["swap"] = [
        around(stage, lambda: stage.wish(publish(bench.bundle, stage.shelf))) for _ in range(rounds)
    ]
    found["refused"] = around(
        stage, lambda: stage.wish(publish(bench.bundle, stage.shelf, spoil)), status=409
    )
    start = time.perf_counter()
    stage.client.post("/admin/rollback").raise_for_status()
    found["roll back, s"] = time.perf_counter() - start
    found["memory, MiB"] = many(stage, bench, swaps)
    return found


def around(stage: Stage, act: Callable[[], httpx.Response], status: int = 200) -> dict[str, Any]:
    """Do something under load; ends the drill if it is answered otherwise."""
    with ThreadPoolExecutor(1) as pool:
        seconds = SETTLE + WINDOW + LOADING + AFTER
        load = pool.submit(storm, stage.url, stage.file, rate=stage.rate, seconds=seconds, core=stage.core)
        time.sleep(SETTLE + WINDOW + 1.0)  # the generator begins a second after it is started
        start = time.perf_counter()
        answer = act()
        took, met = time.perf_counter() - start, load.result()
    if answer.status_code != status:
        raise SystemExit(f"the version was answered with {answer.status_code}: {answer.text[:500]}")
    wish = SETTLE + WINDOW
    before, after = _p99(met, SETTLE, wish), _p99(met, wish, wish + max(WINDOW, took + AFTER))
    return {
        "requests": len(met.status), "not 200": int((met.status != 200).sum()), "asked for, s": took,
        "p99 before, ms": before, "p99 around, ms": after, "ratio": after / before,
    }  # fmt: skip


def _p99(met: Storm, begin: float, end: float) -> float:
    return float(np.percentile(met.waits[(met.due >= begin) & (met.due < end)], 99))


def many(stage: Stage, bench: Bench, swaps: int) -> dict[str, float]:
    """Swap after swap, a few requests to each version."""
    held = []
    for _ in range(swaps):
        version = publish(bench.bundle, stage.shelf)
        stage.wish(version).raise_for_status()
        for line in stage.file.read_bytes().splitlines()[:20]:
            stage.client.post("/recommend", content=line).raise_for_status()
        shutil.rmtree(stage.shelf / NAME / str(version - HELD), ignore_errors=True)
        time.sleep(LINGER_SECONDS + 0.5)  # what is let go is given back
        held.append(stage.memory)
    return {
        "at first": held[min(HELD, swaps) - 1],
        "at the end": held[-1],
        "growth": held[-1] / held[min(HELD, swaps) - 1] - 1,
    }


def publish(folder: Path, shelf: Path, change: Callable[[Path], None] | None = None) -> int:
    """The bundle once more, under another fingerprint: nothing that the caches hold is of it. Returns the version."""
    manifest = Bundle.open(folder).manifest
    with Shelf(shelf).draft(NAME) as draft:
        for path in folder.iterdir():
            if path.name != MANIFEST:
                os.link(path, draft / path.name)
        (draft / "proof.txt").write_text(str(time.time_ns()))
        if change:
            change(draft)
        return Shelf(shelf).publish(draft, manifest).manifest.version


def spoil(draft: Path) -> None:
    """Golden answers of another model."""
    told = (draft / "golden.jsonl").read_text().replace("0.", "0.9")
    (draft / "golden.jsonl").unlink()  # a link: the bundle's own stays
    (draft / "golden.jsonl").write_text(told)


@contextmanager
def staged(rig: Rig) -> Iterator[Stage]:
    """The service, filled and warm."""
    folder, key = rig.folder / "swap", keyring.make()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    keyring.add(
        folder / "keys", keyring.key(name="drill", scopes=("admin",), sha256=keyring.digest(key.encode()))
    )
    os.environ["SPEED_KEY"] = key
    publish(rig.bench.bundle, folder / "shelf")
    told = {"store": folder / "shelf", "version": 1, "api_keys_file": folder / "keys"}
    file = asks.write(asks.ranked(rig.crowd, CANDIDATES, 500), folder / "asks.jsonl")
    with (
        rig.start(lineup.Contender(lineup.CHORUS, "app", "", told)) as served,
        httpx.Client(base_url=served.address, headers={"X-API-Key": key}, timeout=PATIENCE) as client,
    ):
        wait(served.process, lambda: _ready(client), PATIENCE)
        url, cores = f"{served.address}/recommend", [rig.cores.load]
        rates = [saturate(url, file, seconds=3, connections=CONNECTIONS, cores=cores).rate for _ in range(2)]
        yield Stage(
            served.process, client, folder / "shelf", url, file, rate=SHARE * rates[-1], core=rig.cores.load
        )


def _ready(client: httpx.Client) -> bool:
    try:
        return client.get("/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def main(
    rounds: Annotated[int, typer.Option(help="Swaps under load.")] = 3,
    swaps: Annotated[int, typer.Option(help="Swaps whose memory is measured.")] = 50,
    folder: Annotated[Path, typer.Option(help="Where the bundle is kept.")] = Path("var/bench"),
) -> None:
    """Minutes under load, and more for fifty swaps; writes chaos-swap.json and .md if nothing was left out."""
    free = sorted(os.sched_getaffinity(0))
    with Progress() as progress:
        bench = bundle.make(folder.absolute(), progress)
    cores = Cores(free[-1], free[0])
    with (
        rig(bench, cores=cores, peers=Path(), console=Console(), quick=True) as prepared,
        staged(prepared) as stage,
    ):
        found = measure(stage, bench, rounds, swaps)
    told = tables(found)
    typer.echo(told)
    if (rounds, swaps) == (3, 50):
        record.write("chaos-swap", found, protocol=TOLD, told=told)


def tables(found: dict[str, Any]) -> str:
    """What was asked for under load, a row each, then the rest."""
    rows = [("a new version", each) for each in found["swap"]] + [("a bad version", found["refused"])]
    first = record.table(["asked for", *rows[0][1]], [[name, *row.values()] for name, row in rows])
    rest = {"roll back, s": found["roll back, s"]} | {
        f"memory {k}": v for k, v in found["memory, MiB"].items()
    }
    return first + record.table(list(rest), [list(rest.values())])


if __name__ == "__main__":
    typer.run(main)
