"""The limits, measured on the server's core: contenders/loop.py and contenders/hello.py."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.speed import lineup
from benchmarks.speed.lineup import Contender
from benchmarks.speed.process import on
from benchmarks.speed.rig import Rig

LOOP, BARE, HELLO = "in-process loop", "bare ONNX run", "bare ASGI answer"
SECONDS = 1.0


def work(rig: Rig, files: Sequence[Path]) -> dict[str, dict[str, float]]:
    """By the stem of each file of bodies: how often a second without HTTP and Redis, and the heads alone."""
    names = [str(file) for file in files]
    command = [str(rig.peers), "-m", "benchmarks.speed.contenders.loop", str(SECONDS), *names]
    env = lineup.environment(Contender(LOOP, "loop"), rig.bench, redis=rig.redis, port=0)
    done = subprocess.run(
        on([rig.cores.server], command), env={name: str(value) for name, value in env.items()}, check=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    found = json.loads(done.stdout)
    return {file.stem: {LOOP: found[file.stem]["loop"], BARE: found[file.stem]["bare"]} for file in files}


def hello(rig: Rig) -> float:
    """Answers a second of a server that does nothing."""
    with rig.start(Contender(HELLO, "hello")) as served:
        rig.until(served, {})
        return rig.load(served, rig.bodies("nothing", [{}]), seconds=SECONDS).rate
