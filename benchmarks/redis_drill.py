"""Redis killed and started again under load: who noticed, and for how long?

    python -m benchmarks.redis_drill [--bundle shop] [--connections 8]

A real redis-server, a real service, connections that ask without a pause for 20 seconds, all on loopback.
Redis is killed (SIGKILL) after 6 seconds and started again after 12. Writes benchmarks/results/redis-drill.json.
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import httpx
import typer

from app.redis_server import binary
from benchmarks.record import RESULTS, git

KILLED, STARTED, ENDED = 6.0, 12.0, 20.0  # seconds from the beginning


@dataclass
class Tally:
    """What the connections saw: (moment, seconds waited, status, degraded)."""

    seen: list[tuple[float, float, int, bool]] = field(default_factory=list)


def main(
    bundle: Annotated[str, typer.Option(help="Name of a bundle on the shelf.")] = "shop",
    connections: Annotated[int, typer.Option(help="Clients that ask without a pause.")] = 8,
) -> None:
    """Run the drill and print what happened."""
    record = asyncio.run(drill(bundle, connections))
    text = json.dumps({**record, "commit": git("rev-parse", "--short", "HEAD")}, indent=1)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "redis-drill.json").write_text(text + "\n")
    typer.echo(text)


async def drill(bundle: str, connections: int) -> dict[str, object]:
    """One service, one Redis, some connections, one kill."""
    redis_port, port = free(), free()
    with tempfile.TemporaryDirectory() as folder:
        redis = start_redis(redis_port, Path(folder))
        service = subprocess.Popen(
            [
                str(Path(sys.executable).parent / "chorus-serve"),
                "serve",
                "--port",
                str(port),
                "--model",
                bundle,
            ],
            env={**os.environ, "CHORUS_REDIS_URL": f"redis://127.0.0.1:{redis_port}"},
        )
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10.0) as client:
                await ready(client)
                tally, began = Tally(), time.perf_counter()
                tasks = [
                    asyncio.create_task(ask(client, number, tally, began)) for number in range(connections)
                ]
                await asyncio.sleep(KILLED)
                redis.kill()
                redis.wait()
                await asyncio.sleep(STARTED - KILLED)
                redis = start_redis(redis_port, Path(folder))
                back = time.perf_counter() - began
                await asyncio.gather(*tasks)
        finally:
            service.terminate()
            service.wait(30)
            redis.kill()
            redis.wait()
    return summary(tally, back)


def summary(tally: Tally, back: float) -> dict[str, object]:
    """Counts, waits and the time from Redis answering again to the last degraded answer."""
    degraded = [moment for moment, _, _, without in tally.seen if without]
    away = [wait for moment, wait, _, _ in tally.seen if KILLED - 0.2 <= moment <= back]
    calm = [wait for moment, wait, _, _ in tally.seen if 1.0 <= moment < KILLED - 0.2]
    return {
        "requests": len(tally.seen),
        "status": dict(Counter(status for _, _, status, _ in tally.seen)),
        "not 200": sum(status != 200 for _, _, status, _ in tally.seen),
        "degraded": len(degraded),
        "longest wait, Redis there (ms)": round(1e3 * max(calm), 1),
        "longest wait, Redis away (ms)": round(1e3 * max(away), 1),
        "median wait, Redis there (ms)": round(1e3 * sorted(calm)[len(calm) // 2], 1),
        "median wait, Redis away (ms)": round(1e3 * sorted(away)[len(away) // 2], 1),
        "first degraded answer after the kill (s)": round(min(degraded, default=0.0) - KILLED, 3),
        "recovered after the start (s)": round(max(degraded, default=back) - back, 3),
    }


async def ask(client: httpx.AsyncClient, number: int, tally: Tally, began: float) -> None:
    """Ask for one user again and again."""
    user = f"drill-{number}"
    while (moment := time.perf_counter() - began) < ENDED:
        start = time.perf_counter()
        response = await client.post("/recommend", json={"user_id": user, "k": 10})
        waited = time.perf_counter() - start
        without = response.status_code == 200 and "cache" in response.json()["degraded"]
        tally.seen.append((moment, waited, response.status_code, without))


async def ready(client: httpx.AsyncClient) -> None:
    """Wait until the service answers."""
    for _ in range(300):
        try:
            if (await client.get("/health/ready")).status_code == 200:
                return
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.2)
    raise SystemExit("the service did not get ready within 60 s")


def start_redis(port: int, folder: Path) -> subprocess.Popen[bytes]:
    """A redis-server that answers."""
    program = str(binary())
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process
        time.sleep(0.02)
    raise SystemExit("redis-server did not start")


def free() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    typer.run(main)
