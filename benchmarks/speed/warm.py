"""Requests a second of a warm user, a core: everybody asked in turn, round after round, beside the limits."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.speed import answers, asks, limits, lineup
from benchmarks.speed.limits import HELLO, LOOP
from benchmarks.speed.rig import Rig, Served
from benchmarks.speed.rounds import order, ratios, spread

SIZES = {500: 3.0, 50: 2.0, 2_000: 2.0}  # candidates: seconds a round
ROUNDS, CONNECTIONS, BODIES = 5, 8, 600

Rates = dict[str, list[float]]

TOLD = (
    "A closed loop of 8 connections; candidates are ids drawn from the catalogue, k 20. Everyone is up at "
    "once and paused but for the one that is asked. The peers share one hand-written ranker "
    "(benchmarks/speed/contenders/ranker.py) and differ by their framework; their heads are a graph that "
    "is not folded, unless it says `folded graph`: then they run Chorus's own heads.onnx. The in-process "
    "loop does the same work without HTTP and Redis, with Chorus's own scorer; the bare ONNX run is "
    "heads.onnx alone, on arrays that lie ready; the bare ASGI answer is uvicorn saying hello."
)


def measure(rig: Rig) -> dict[str, Any]:
    """By candidates: requests a second of everyone, and how many times as many ours are."""
    sizes = {500: 2.0, 50: 2.0} if rig.quick else SIZES
    files = {
        size: rig.bodies(f"warm-{size}", asks.ranked(rig.crowd, size, BODIES if size <= 500 else BODIES // 3))
        for size in sizes
    }
    rates: dict[int, Rates] = {size: {} for size in sizes}
    with ExitStack() as stack:
        served, apart = _start(rig, stack, list(sizes))
        for number in range(2 if rig.quick else ROUNDS):
            for label in order([*served, LOOP, HELLO], number):
                rig.say(f"  round {number + 1}: {label}")
                if label == LOOP:
                    _limits(rig, files, rates)
                elif label == HELLO:
                    rate = limits.hello(rig)
                    for found in rates.values():
                        found.setdefault(HELLO, []).append(rate)
                else:
                    _loads(rig, served[label], sizes, files, rates)
    return {
        "greatest difference of a score": apart,
        "sizes": {str(size): _summary(found) for size, found in rates.items()},
    }


def _start(rig: Rig, stack: ExitStack, sizes: list[int]) -> tuple[dict[str, Served], dict[str, float]]:
    """Everybody, paused, after it has answered as Chorus does."""
    bodies = [body for size in sizes for body in asks.ranked(rig.crowd, size, answers.SAMPLES, seed=7)]
    served: dict[str, Served] = {}
    apart, expected = {}, None
    for contender in lineup.everyone():
        rig.say(f"  start {contender.label}")
        one = served[contender.label] = stack.enter_context(rig.serve(contender))
        found = answers.ask(one, bodies)
        expected = expected or found
        apart[contender.label] = answers.compare(contender.label, found, expected)
        one.process.pause()
    return served, apart


def _loads(
    rig: Rig, served: Served, sizes: Mapping[int, float], files: Mapping[int, Path], rates: dict[int, Rates]
) -> None:
    rig.resume(served)
    rig.stir(served, files[500])
    for size, seconds in sizes.items():
        load = rig.load(served, files[size], seconds=seconds, connections=CONNECTIONS)
        rates[size].setdefault(served.contender.label, []).append(load.rate)
    served.process.pause()


def _limits(rig: Rig, files: Mapping[int, Path], rates: dict[int, Rates]) -> None:
    found = limits.work(rig, list(files.values()))
    for size, file in files.items():
        for name, rate in found[file.stem].items():
            rates[size].setdefault(name, []).append(rate)


def _summary(rates: Rates) -> dict[str, Any]:
    ours = lineup.chorus().label
    return {
        "requests a second": {name: spread(values) for name, values in rates.items()},
        "Chorus to": ratios(rates, ours),
    }
