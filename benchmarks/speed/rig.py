"""What every measurement stands on: cores, one Redis filled for everybody, servers, prepared bodies."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from benchmarks.redis_drill import free
from benchmarks.speed import asks, crowd, lineup, wrk
from benchmarks.speed.bundle import Bench
from benchmarks.speed.crowd import Crowd
from benchmarks.speed.lineup import Contender
from benchmarks.speed.link import together
from benchmarks.speed.process import Process, on, running, wait
from benchmarks.speed.wrk import Load

READY = 120.0
TIMEOUT = 60.0
CONNECTIONS = 8


@dataclass(frozen=True)
class Cores:
    """The server's own core, and the one that load generator and Redis share."""

    server: int
    load: int


@dataclass(frozen=True)
class Served:
    """A server that answers."""

    contender: Contender
    process: Process
    address: str

    def post(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        """One request; ends the benchmark unless it is answered with 200."""
        response = httpx.post(f"{self.address}{path}", json=body, timeout=TIMEOUT)
        if response.status_code != 200:
            raise SystemExit(f"{self.contender.label}: {response.status_code} {response.text[:500]}")
        return response


@dataclass(frozen=True)
class Rig:
    """Everything that is ready before the first measurement. `quick`: a try that takes seconds, not results."""

    bench: Bench
    crowd: Crowd
    redis: str
    cores: Cores
    peers: Path
    folder: Path
    console: Console
    quick: bool

    @contextmanager
    def serve(self, contender: Contender, cores: Sequence[int] = ()) -> Iterator[Served]:
        """Start it on the server's core, and warm it: every user and every query once."""
        with self.start(contender, cores) as served:
            bodies = asks.warming(self.crowd)
            self.until(served, bodies[0])
            lines = [json.dumps(body).encode() for body in bodies]
            together(f"{served.address}/recommend", lines, at_once=CONNECTIONS)
            yield served

    def until(self, served: Served, body: Mapping[str, Any]) -> None:
        """Wait until it answers this; ends the benchmark if it runs on other cores than its own."""
        wait(served.process, lambda: _answers(served, body), READY)
        if not served.process.pinned():
            told = f"{served.contender.label} left its core: something moves processes on this machine"
            if not self.quick:
                raise SystemExit(told)
            self.console.print(f"  {told}", style="yellow", highlight=False)

    @contextmanager
    def start(self, contender: Contender, cores: Sequence[int] = ()) -> Iterator[Served]:
        """Start it; it may not be ready."""
        port = free()
        command = lineup.command(contender, self.peers, port)
        env = lineup.environment(contender, self.bench, redis=self.redis, port=port)
        on = cores or [self.cores.server]
        with running(contender.file, command, env=env, cores=on, folder=self.folder) as process:
            yield Served(contender, process, f"http://127.0.0.1:{port}")

    def resume(self, served: Served) -> None:
        """Let a paused server go on, and wait until it answers again."""
        served.process.resume()
        self.until(served, asks.warming(self.crowd)[0])

    def told(self, module: str, *arguments: object) -> Any:
        """What a program of the contenders prints, as JSON; run on the server's core in the peers' environment."""
        command = [str(self.peers), "-m", f"benchmarks.speed.contenders.{module}", *map(str, arguments)]
        env = lineup.environment(Contender(module, module), self.bench, redis=self.redis, port=0)
        done = subprocess.run(
            on([self.cores.server], command), env={name: str(value) for name, value in env.items()}, check=True,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        return json.loads(done.stdout)

    def bodies(self, name: str, bodies: Sequence[Any]) -> Path:
        """Write bodies for wrk."""
        return asks.write(bodies, self.folder / f"{name}.jsonl")

    def load(
        self, served: Served, bodies: Path, *, seconds: float, connections: int = CONNECTIONS, **more: Any
    ) -> Load:
        """A closed loop of requests to /recommend, or to the `path` given."""
        path = more.pop("path", "/recommend")
        cores = more.pop("cores", [self.cores.load])
        return wrk.run(
            f"{served.address}{path}", bodies, seconds=seconds, connections=connections, cores=cores, **more
        )

    def stir(self, served: Served, bodies: Path, **more: Any) -> None:
        """A second of the same that does not count, whatever comes of it."""
        with suppress(SystemExit):
            self.load(served, bodies, seconds=1, **more)

    def say(self, text: str) -> None:
        """A line for whoever waits."""
        self.console.print(text, highlight=False)


@contextmanager
def rig(bench: Bench, *, cores: Cores, peers: Path, console: Console, quick: bool) -> Iterator[Rig]:
    """Redis on the load generator's core, filled for Chorus and for the peers."""
    folder = bench.folder / "scratch"
    folder.mkdir(exist_ok=True)
    with ExitStack() as stack:
        port = free()
        command = [
            "redis-server",
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            str(folder),
        ]
        process = stack.enter_context(running("redis", command, env={}, cores=[cores.load], folder=folder))
        redis = f"redis://127.0.0.1:{port}"
        wait(process, lambda: "Ready to accept" in process.told(), READY)
        found = crowd.gather(bench)
        crowd.fill(found, redis)
        env = os.environ | {k: str(v) for k, v in
                            lineup.environment(lineup.chorus(), bench, redis=redis, port=0).items()}  # fmt: skip
        path = crowd.histories(found, folder / "histories.jsonl")
        subprocess.run(
            [sys.executable, "-m", "app", "load", str(path)], env=env, check=True, stdout=subprocess.PIPE
        )
        yield Rig(bench, found, redis, cores, peers, folder, console, quick)


def _answers(served: Served, body: Mapping[str, Any]) -> bool:
    with suppress(httpx.TransportError):
        return httpx.post(f"{served.address}/recommend", json=body, timeout=TIMEOUT).status_code == 200
    return False
