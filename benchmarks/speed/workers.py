"""Two processes on two cores beside one on one: how much faster, what memory they share, whether counts add up.

The load generator and Redis need a core too: two workers share both with them, so the ratio is what a whole
machine of two cores gains.
"""

import json
from contextlib import ExitStack
from typing import Any

from benchmarks.speed import asks, lineup, metrics
from benchmarks.speed.link import together
from benchmarks.speed.rig import Rig, Served
from benchmarks.speed.rounds import order, ratios, spread

SIZE, ROUNDS, SECONDS, CONNECTIONS = 500, 3, 4.0, 16
TALLY = 4_000
ONE, TWO = "one worker", "two workers"

TOLD = (
    "`--workers 2` on both cores beside one worker on the server's core, 500 candidates, 16 connections. "
    "The load generator needs a core too: beside one worker it has the other one, with Redis; beside two "
    "it runs wherever it finds room. So the ratio is what the whole machine gains; what two workers lose "
    "to each other shows in requests by the second of processor time that the workers themselves took. "
    "Proportional: shared pages counted once, by halves."
)


def measure(rig: Rig) -> dict[str, Any]:
    """Requests a second of both; the memory of two; what they counted beside what the client did."""
    file = rig.bodies("workers", asks.ranked(rig.crowd, SIZE, 600, seed=11))
    both = sorted({rig.cores.server, rig.cores.load})
    rates: dict[str, list[float]] = {ONE: [], TWO: []}
    thrift: dict[str, list[float]] = {ONE: [], TWO: []}
    with ExitStack() as stack:
        servers = {
            ONE: stack.enter_context(rig.serve(lineup.chorus(ONE))),
            TWO: stack.enter_context(rig.serve(lineup.chorus(TWO, workers=2), both)),
        }
        for served in servers.values():
            served.process.pause()
        for number in range(1 if rig.quick else ROUNDS):
            for name in order([ONE, TWO], number):
                rig.say(f"  round {number + 1}: {name}")
                served = servers[name]
                rig.resume(served)
                where = {"connections": CONNECTIONS, "cores": both if name == TWO else [rig.cores.load]}
                rig.stir(served, file, **where)
                before = served.process.seconds()
                load = rig.load(served, file, seconds=2 if rig.quick else SECONDS, **where)
                rates[name].append(load.rate)
                thrift[name].append(load.requests / (served.process.seconds() - before))
                served.process.pause()
        found = {"requests a second": {name: spread(values) for name, values in rates.items()}}
        found |= {"two to": ratios(rates, TWO), "two to, by processor time": ratios(thrift, TWO)}
        found |= {
            "requests a second of processor time": {name: spread(each) for name, each in thrift.items()}
        }
        for served in servers.values():
            rig.resume(served)
        return found | {
            "MiB": {name: vars(served.process.memory()) for name, served in servers.items()},
            "counted": _counted(rig, servers[TWO]),
        }


def _counted(rig: Rig, served: Served) -> dict[str, Any]:
    """Requests that were answered, by the client and by the service's own counter."""
    labels = {"endpoint": "/recommend", "code": "200"}
    before = metrics.total(served, "chorus_requests_total", **labels)
    bodies = asks.ranked(rig.crowd, 20, 200 if rig.quick else TALLY, seed=12)
    lines = [json.dumps(body).encode() for body in bodies]
    tally = together(f"{served.address}/recommend", lines, at_once=CONNECTIONS)
    counted = metrics.total(served, "chorus_requests_total", **labels) - before
    return {"client": tally[200], "service": counted, "equal": tally[200] == counted}
