"""What the service is measured against: each target, what was found, and whether it is met."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.speed import text
from benchmarks.speed.limits import LOOP
from benchmarks.speed.lineup import CHORUS, MOSEC, PLAIN
from benchmarks.speed.workers import ONE

PEERS = {PLAIN: 2.0, MOSEC: 2.0, "BentoML": 5.0, "LitServe": 5.0, "Ray Serve": 5.0}


@dataclass(frozen=True)
class Target:
    """One line: `found` must be at least (or, `below`, at most) the limit; `spread`: the ends of the rounds."""

    name: str
    found: float
    limit: float
    below: bool = False
    spread: tuple[float, float] | None = None

    @property
    def met(self) -> bool:
        """Whether it holds."""
        return self.found <= self.limit if self.below else self.found >= self.limit


def targets(sections: Mapping[str, Any]) -> list[Target]:
    """Those of the sections that were measured."""
    makers = {
        "warm": _warm, "latency": _latency, "text": _text, "batch": _batch, "memory": _memory, "workers": _workers,
        "start": _start,
    }  # fmt: skip
    return [target for name, make in makers.items() if name in sections for target in make(sections[name])]


def _warm(found: Mapping[str, Any]) -> list[Target]:
    to = found["sizes"]["500"]["Chorus to"]
    told = [_of(f"500 candidates: requests a second to {name}", to[name], limit)
            for name, limit in PEERS.items() if name in to]  # fmt: skip
    return [*told, _of(f"500 candidates: share of the {LOOP}", to[LOOP], 0.6)]


def _latency(found: Mapping[str, Any]) -> list[Target]:
    half, large = found["100"][CHORUS]["loads"]["0.5"], found["5000"][CHORUS]["loads"]["0.5"]
    return [
        _of("100 candidates at half of saturation: p50, ms", half["p50"], 2.0, below=True),
        _of("100 candidates at half of saturation: p99, ms", half["p99"], 8.0, below=True),
        _of("service without the model: p50, ms", half["service p50"], 1.0, below=True),
        _of("5,000 candidates at half of saturation: p99, ms", large["p99"], 20.0, below=True),
    ]


def _text(found: Mapping[str, Any]) -> list[Target]:
    to = found["Chorus to"]
    return [
        _of("cold texts: share of the bare ONNX loop", to[text.BARE], 0.9),
        _of("cold texts: to sentence-transformers on torch", to[text.TORCH], 3.0),
        Target(
            "a text's vector is bit-identical among 200 others",
            float(found["bit-identical among 200 others"]),
            1.0,
        ),
    ]


def _batch(found: Mapping[str, Any]) -> list[Target]:
    return [
        _of(
            "64 users × 100 in one batch: pairs a second to single requests", *found["batch to"].values(), 2.0
        ),
        Target("a file: pairs a second to the batch's", found["offline"]["to batch"], 5.0),
        Target(
            "a file: memory of the largest to the smallest",
            found["offline"]["peak MiB, last to first"],
            1.1,
            below=True,
        ),
    ]


def _memory(found: Mapping[str, Any]) -> list[Target]:
    encodes = max(found["identical cold requests"]["encodes"].values())
    return [
        Target("100 identical cold requests at once: encodes of each kind", encodes, 1.0, below=True),
        Target("memory after 100,000 requests to that after 1,000", found["ratio"], 1.1, below=True),
    ]


def _workers(found: Mapping[str, Any]) -> list[Target]:
    return [
        _of("two workers on two cores to one on one", found["two to"][ONE], 1.8),
        Target("counters of two workers equal the client's", float(found["counted"]["equal"]), 1.0),
    ]


def _start(found: Mapping[str, Any]) -> list[Target]:
    return [
        _of("seconds to ready with 100,000 items", found["seconds to ready"], 5.0, below=True),
        _of("first request to the steady median", found["first to steady"], 1.5, below=True),
    ]


def _of(name: str, spread: Mapping[str, Any], limit: float, *, below: bool = False) -> Target:
    return Target(name, spread["median"], limit, below, (spread["min"], spread["max"]))
