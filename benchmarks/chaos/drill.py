"""What a drill is: a module that measures, and says what it is held to."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from benchmarks.speed.bundle import Bench
from benchmarks.speed.rig import Cores, Rig, rig
from benchmarks.speed.targets import Target


@dataclass(frozen=True)
class Ground:
    """What every drill stands on: a bundle, and two cores. Each starts its own service and its own Redis."""

    bench: Bench
    cores: Cores

    def rig(self) -> AbstractContextManager[Rig]:
        """A Redis that is filled, and what starts a service on it."""
        return rig(self.bench, cores=self.cores, peers=Path(), console=Console(stderr=True), quick=True)


class Drill(Protocol):
    """A module of this package; what it starts ends with it.

    LINE: the line of docs/benchmarks.md that it proves; SECONDS: that it may take, else it is ended;
    TOLD: what is done, for those who read its numbers.
    """

    LINE: int
    SECONDS: float
    TOLD: str

    def measure(self, ground: Ground) -> dict[str, Any]:
        """Numbers by name, also below names and in lists, as JSON has them. SystemExit if it cannot."""
        ...

    def bounds(self, found: Mapping[str, Any]) -> Sequence[Target]:
        """What the numbers are held to."""
        ...
