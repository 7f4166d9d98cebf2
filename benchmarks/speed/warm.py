"""Requests a second of a warm user, a core: everybody asked in turn, round after round, beside the limits."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.speed import answers, asks, limits, lineup, metrics
from benchmarks.speed.answers import Items
from benchmarks.speed.limits import BARE, HELLO, LOOP
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


@dataclass(frozen=True)
class Plan:
    """What is asked: by candidates the seconds of a round, the bodies, and the file that wrk reads."""

    seconds: Mapping[int, float]
    bodies: Mapping[int, list[dict[str, Any]]]
    files: Mapping[int, Path]


def measure(rig: Rig) -> dict[str, Any]:
    """By candidates: requests a second of everyone, and how many times as many ours are."""
    plan = _plan(rig, {500: 2.0, 50: 2.0} if rig.quick else SIZES)
    rates: dict[int, Rates] = {size: {} for size in plan.files}
    with ExitStack() as stack:
        served, apart, expected = _start(rig, stack, plan)
        for number in range(2 if rig.quick else ROUNDS):
            for label in order([*served, LOOP, HELLO], number):
                rig.say(f"  round {number + 1}: {label}")
                if label == LOOP:
                    apart[LOOP] = _limits(rig, plan, expected, rates)
                elif label == HELLO:
                    _keep(rates, HELLO, dict.fromkeys(rates, limits.hello(rig)))
                else:
                    _keep(rates, label, _loads(rig, served[label], plan))
        fetches = _fetches(rig, served[lineup.chorus().label])
    return {
        "greatest difference of a score": apart,
        "trips to Redis a request": fetches,
        "sizes": {str(size): _summary(found) for size, found in rates.items()},
    }


def _plan(rig: Rig, seconds: Mapping[int, float]) -> Plan:
    bodies = {size: asks.ranked(rig.crowd, size, BODIES if size <= 500 else BODIES // 3) for size in seconds}
    files = {size: rig.bodies(f"warm-{size}", each) for size, each in bodies.items()}
    return Plan(seconds, bodies, files)


def _start(
    rig: Rig, stack: ExitStack, plan: Plan
) -> tuple[dict[str, Served], dict[str, float], dict[int, list[Items]]]:
    """Everybody, paused, after it has answered as Chorus does; by how much they differ; Chorus's answers."""
    served: dict[str, Served] = {}
    apart: dict[str, float] = {}
    expected: dict[int, list[Items]] = {}
    for contender in lineup.everyone():
        rig.say(f"  start {contender.label}")
        one = served[contender.label] = stack.enter_context(rig.serve(contender))
        found = {size: answers.ask(one, bodies) for size, bodies in plan.bodies.items()}
        expected = expected or found
        apart[contender.label] = answers.compare(contender.label, found, expected)
        one.process.pause()
    return served, apart, expected


def _loads(rig: Rig, served: Served, plan: Plan) -> dict[int, float]:
    rig.resume(served)
    rig.stir(served, plan.files[500])
    found = {
        size: rig.load(served, plan.files[size], seconds=seconds, connections=CONNECTIONS).rate
        for size, seconds in plan.seconds.items()
    }
    served.process.pause()
    return found


def _limits(rig: Rig, plan: Plan, expected: Mapping[int, list[Items]], rates: dict[int, Rates]) -> float:
    """The limits that depend on the candidates; by how much the loop's answers differ from Chorus's."""
    found = {size: limits.work(rig, file) for size, file in plan.files.items()}
    for name in (LOOP, BARE):
        _keep(rates, name, {size: each.rates[name] for size, each in found.items()})
    return answers.compare(LOOP, {size: each.answers for size, each in found.items()}, expected)


def _keep(rates: dict[int, Rates], name: str, found: Mapping[int, float]) -> None:
    for size, rate in found.items():
        rates[size].setdefault(name, []).append(rate)


def _fetches(rig: Rig, served: Served) -> float:
    """Round trips that a request made to read; ends the benchmark if one failed, or if there were none."""
    rig.resume(served)
    made, answered = (
        metrics.total(served, name, **labels)
        for name, labels in (
            ("chorus_redis_duration_seconds_count", {"op": "fetch"}),
            ("chorus_requests_total", {"endpoint": "/recommend", "code": "200"}),
        )
    )
    if made < answered or metrics.total(served, "chorus_redis_errors_total"):
        raise SystemExit(f"{made:.0f} reads of Redis for {answered:.0f} answers: not what was to be measured")
    return made / answered


def _summary(rates: Rates) -> dict[str, Any]:
    ours = lineup.chorus().label
    return {
        "requests a second": {name: spread(values) for name, values in rates.items()},
        "Chorus to": ratios(rates, ours),
    }
