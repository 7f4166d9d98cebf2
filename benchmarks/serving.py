"""A service of a benchmark's own: `chorus-serve` on one bundle, with settings and on a free port."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.redis_drill import free

READY_SECONDS = 180.0
TIMEOUT = 60.0


@contextmanager
def serving(bundle: Path, **settings: object) -> Iterator[str]:
    """The address of a service that is ready; settings by their names, as `redis_url`."""
    port = free()
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [_program(), "serve"],
            env=_environment(bundle, {**settings, "port": port}),
            stdout=log,
            stderr=log,
        )
        try:
            address = f"http://127.0.0.1:{port}"
            if not _ready(address, process):
                log.seek(0)
                raise SystemExit(f"the service did not get ready: {log.read()[-2000:]}")
            yield address
        finally:
            process.terminate()
            process.wait(30)


def load(bundle: Path, histories: Path, **settings: object) -> str:
    """`chorus-serve load`; returns what it says."""
    done = subprocess.run(
        [_program(), "load", str(histories)], env=_environment(bundle, settings), text=True,
        stdout=subprocess.PIPE, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def tell(client: httpx.Client, events: Sequence[dict[str, Any]]) -> int:
    """Post events; returns how many were taken before. All of them must be taken."""
    response = client.post("/events", json={"events": events})
    if response.status_code != 200:
        raise SystemExit(f"POST /events: {response.status_code} {response.text[:500]}")
    answer = response.json()
    if answer["rejected"] or answer["accepted"] != len(events):
        raise SystemExit(f"POST /events took {answer['accepted']} of {len(events)}: {answer['rejected'][:3]}")
    return int(answer["duplicates"])


def batches(events: Sequence[dict[str, Any]], size: int) -> Iterator[Sequence[dict[str, Any]]]:
    """As many at once as the service takes."""
    for start in range(0, len(events), size):
        yield events[start : start + size]


def _ready(address: str, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{address}/health/ready", timeout=TIMEOUT).status_code == 200:
                return True
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    return False


def _environment(bundle: Path, settings: dict[str, object]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHORUS_")}
    own = {"store": bundle.parent.parent, "model": bundle.parent.name, "version": bundle.name, **settings}
    return kept | {f"CHORUS_{name.upper()}": str(value) for name, value in own.items()}


def _program() -> str:
    return str(Path(sys.executable).parent / "chorus-serve")
