"""The limits, measured on the server's core: contenders/loop.py and contenders/hello.py."""

from dataclasses import dataclass
from pathlib import Path

from benchmarks.speed.answers import SAMPLES, Items
from benchmarks.speed.lineup import Contender
from benchmarks.speed.rig import Rig

LOOP, BARE, HELLO = "in-process loop", "bare ONNX run", "bare ASGI answer"
SECONDS = 1.0


@dataclass(frozen=True)
class Work:
    """How often a second each limit is reached, and what the loop answers to the first bodies."""

    rates: dict[str, float]
    answers: list[Items]


def work(rig: Rig, file: Path) -> Work:
    """The requests of a file without HTTP and Redis, and the heads alone."""
    told = rig.told("loop", file, SECONDS, SAMPLES)
    return Work({LOOP: told["loop"], BARE: told["bare"]}, told["answers"])


def hello(rig: Rig) -> float:
    """Answers a second of a server that does nothing."""
    with rig.start(Contender(HELLO, "hello")) as served:
        rig.until(served, {})
        return rig.load(served, rig.bodies("nothing", [{}]), seconds=SECONDS).rate
