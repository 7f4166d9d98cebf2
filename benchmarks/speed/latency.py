"""How long one waits at a constant rate, from far below saturation to close to it."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed import asks, limits, lineup
from benchmarks.speed.lineup import Contender
from benchmarks.speed.pace import paced
from benchmarks.speed.rig import Rig, Served
from benchmarks.speed.rounds import order, spread

LOADS = (0.25, 0.5, 0.75, 0.9)  # of saturation
HALF = 0.5
SIZE, LARGE = 100, 5_000  # candidates
ROUNDS, SECONDS = 3, 4.0
MODEL = ("heads", "text", "user")  # stages that are the model's; all else is the service's

TOLD = (
    "An open loop: requests at a constant rate, whether or not earlier ones were answered, over 32 "
    "connections; a wait counts from when its request was due, so a server that stalls is charged for all "
    "who would have come meanwhile. Saturation is what 8 connections in a closed loop get, measured just "
    "before. `model` and `service`: what Server-Timing says of the same requests, the stages that run "
    "graphs and all else."
)


def measure(rig: Rig) -> dict[str, Any]:
    """Waits of Chorus and of the plain app with 100 candidates, of Chorus with 5,000, and of the client itself."""
    files = {
        size: rig.bodies(
            f"latency-{size}", asks.ranked(rig.crowd, size, 600 if size == SIZE else 100, seed=8)
        )
        for size in (SIZE, LARGE)
    }
    contenders = [lineup.chorus(), Contender(lineup.PLAIN, "plain")]
    found: dict[str, Any] = {"client": _client(rig, 500.0)}
    with ExitStack() as stack:
        servers = {each.label: stack.enter_context(rig.serve(each)) for each in contenders}
        for served in servers.values():
            served.process.pause()
        found[str(SIZE)] = _by_load(rig, servers, files[SIZE])
        ours = servers[contenders[0].label]
        rig.resume(ours)
        found[str(LARGE)] = {ours.contender.label: _half(rig, ours, files[LARGE])}
    return found


def _by_load(rig: Rig, servers: Mapping[str, Served], file: Path) -> dict[str, Any]:
    found: dict[str, Any] = {name: {"saturation": [], "loads": {}} for name in servers}
    for number in range(1 if rig.quick else ROUNDS):
        for name in order(list(servers), number):
            rig.say(f"  round {number + 1}: {name}")
            served, told = servers[name], found[name]
            rig.resume(served)
            rate = _saturation(rig, served, file)
            told["saturation"].append(rate)
            for share in LOADS:
                waits = _waits(rig, served, file, rate * share)
                told["loads"].setdefault(str(share), []).append(waits)
            served.process.pause()
    return {
        name: {
            "saturation": spread(told["saturation"]),
            "loads": {share: _merged(rounds) for share, rounds in told["loads"].items()},
        }
        for name, told in found.items()
    }


def _half(rig: Rig, served: Served, file: Path) -> dict[str, Any]:
    rounds, rates = [], []
    for _ in range(1 if rig.quick else ROUNDS):
        rates.append(_saturation(rig, served, file))
        rounds.append(_waits(rig, served, file, rates[-1] * HALF))
    return {"saturation": spread(rates), "loads": {str(HALF): _merged(rounds)}}


def _saturation(rig: Rig, served: Served, file: Path) -> float:
    rig.stir(served, file)
    return rig.load(served, file, seconds=2).rate


def _client(rig: Rig, rate: float) -> dict[str, float]:
    """What of a wait is the client's own and the kernel's: the same client before a server that does nothing."""
    with rig.start(Contender(limits.HELLO, "hello")) as served:
        rig.until(served, {})
        return _waits(rig, served, rig.bodies("nothing", [{}]), rate)


def _waits(rig: Rig, served: Served, file: Path, rate: float) -> dict[str, float]:
    """Percentiles in milliseconds; by stage as the server tells."""
    waits, told = paced(
        f"{served.address}/recommend",
        file,
        rate=rate,
        seconds=2.0 if rig.quick else SECONDS,
        core=rig.cores.load,
    )
    found = {"rate": rate} | {f"p{p:g}": float(np.percentile(waits, p)) for p in (50, 90, 99, 99.9)}
    if not any(told):
        return found
    model = np.array([sum(each.get(name, 0.0) for name in MODEL) for each in told])
    total = np.array([each["total"] for each in told])
    return found | {
        "model p50": float(np.median(model)),
        "service p50": float(np.median(total - model)),
        "round trip less model p50": float(np.median(waits - model)),
    }


def _merged(rounds: list[dict[str, float]]) -> dict[str, Any]:
    return {name: spread([each[name] for each in rounds]) for name in rounds[0]}
