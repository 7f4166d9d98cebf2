"""Resident memory under requests of all sizes, and one encode for a hundred who ask the same at once."""

import json
from typing import Any

import numpy as np

from benchmarks.speed import asks, crowd, lineup, metrics
from benchmarks.speed.crowd import moment
from benchmarks.speed.link import together
from benchmarks.speed.rig import Rig, Served

FEW, MANY = 1_000, 100_000
LONGEST = 200  # candidates; their number is even in its logarithm
COLD = 0.01  # share of requests with a text never seen
AT_ONCE = 100
CONNECTIONS = 8

TOLD = (
    "Requests of 1 to 200 candidates, their number even in its logarithm, half with a query; of each "
    "hundred one has a text never seen, of 1 to 40 words. Then a hundred identical requests with a text "
    "and an inline history that nobody has seen, sent at once over a hundred connections."
)


def measure(rig: Rig) -> dict[str, Any]:
    """MiB after a thousand and after a hundred thousand requests; encodes of identical cold requests."""
    many, bodies = 5_000 if rig.quick else MANY, _random(rig, 20_000)
    with rig.serve(lineup.chorus("memory", local_cache=20_000)) as served:
        url, once = f"{served.address}/recommend", _once(rig, served)
        together(url, [json.dumps(body).encode() for body in bodies[:FEW]], at_once=CONNECTIONS)
        file, seen = rig.bodies("random", bodies), FEW
        marks = {seen: served.process.memory().resident}
        while seen < many:
            rig.say(f"  {seen:,} requests: {marks[seen]:.0f} MiB")
            load = rig.load(served, file, seconds=5, connections=CONNECTIONS, first=seen % len(bodies))
            seen += load.requests
            marks[seen] = served.process.memory().resident
    return {
        "identical cold requests": once,
        "resident MiB by requests": {str(number): value for number, value in marks.items()},
        "ratio": marks[seen] / marks[FEW],
    }


def _random(rig: Rig, number: int) -> list[dict[str, Any]]:
    generator = np.random.default_rng(9)
    sizes = np.exp(generator.uniform(0.0, np.log(LONGEST), number)).astype(int) + 1
    bodies = asks.sized(rig.crowd, sizes.tolist(), seed=10)
    cold = generator.choice(number, int(COLD * number), replace=False)
    for place, text in zip(cold, crowd.unseen(rig.crowd, len(cold)), strict=True):
        words = text.split()
        bodies[place]["query"] = " ".join(generator.choice(words, generator.integers(1, 40)))
    return bodies


def _once(rig: Rig, served: Served) -> dict[str, Any]:
    """A hundred times the same request with a text and an inline history that nobody has seen."""
    user, ids = rig.crowd.users[0], rig.crowd.item_ids
    history = [
        {"item_id": ids[row], "event": "click", "timestamp": moment(time + 1.0)}
        for row, time in zip(user.rows, user.times, strict=True)
    ]
    body = {
        "history": history, "query": "a text that only these ask for", "candidates": list(ids[:20]), "k": 5,
        "context": {"timestamp": moment(rig.crowd.now)},
    }  # fmt: skip
    before = {kind: metrics.total(served, "chorus_encodes_total", encoder=kind) for kind in ("text", "user")}
    tally = together(f"{served.address}/recommend", [json.dumps(body).encode()] * AT_ONCE, at_once=AT_ONCE)
    after = {kind: metrics.total(served, "chorus_encodes_total", encoder=kind) for kind in before}
    return {
        "at once": AT_ONCE,
        "answers": dict(tally),
        "encodes": {kind: after[kind] - before[kind] for kind in before},
        "shared waits": metrics.total(served, "chorus_cache_singleflight_shared_total"),
    }
