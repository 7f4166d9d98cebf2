"""Request bodies, a line each, prepared before anything is measured.

{"user_id": "v0007", "query": "red mug", "candidates": ["g000001", ...], "k": 20, "context": {"timestamp": "..."}}

Half of the requests have a query, one of a pool whose vectors are cached; the moments differ, and are told, so that
everyone answers the same whenever asked.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.crowd import Crowd, moment

K = 20
HOURS = 20


def ranked(crowd: Crowd, candidates: int, number: int, *, seed: int = 5) -> list[dict[str, Any]]:
    """So many requests with so many candidates each, any items of the catalogue."""
    return sized(crowd, [candidates] * number, seed=seed)


def sized(crowd: Crowd, sizes: Sequence[int], *, seed: int) -> list[dict[str, Any]]:
    """A request for each size, user after user."""
    generator = np.random.default_rng(seed)
    ids, bodies = np.array(crowd.item_ids), []
    for number, size in enumerate(sizes):
        body: dict[str, Any] = {"user_id": crowd.users[number % len(crowd.users)].name}
        if number // 2 % 2:  # not always the same users
            body["query"] = crowd.queries[number % len(crowd.queries)]
        rows = generator.choice(len(ids), size, replace=False)
        when = crowd.now + generator.uniform(0.0, HOURS * 3_600.0)
        bodies.append(
            body | {"candidates": ids[rows].tolist(), "k": K, "context": {"timestamp": moment(when)}}
        )
    return bodies


def warming(crowd: Crowd) -> list[dict[str, Any]]:
    """Every user and every query once."""
    first = list(crowd.item_ids[:K])
    context = {"timestamp": moment(crowd.now)}
    return [
        {"user_id": user.name, "query": crowd.queries[number % len(crowd.queries)], "candidates": first,
         "k": K, "context": context}
        for number, user in enumerate(crowd.users)
    ]  # fmt: skip


def batched(bodies: Sequence[dict[str, Any]], size: int) -> list[dict[str, Any]]:
    """The same requests as calls of /recommend/batch."""
    return [{"requests": bodies[start : start + size]} for start in range(0, len(bodies), size)]


def write(bodies: Iterable[Any], path: Path) -> Path:
    """One JSON body a line, for wrk."""
    path.write_text("".join(json.dumps(body, separators=(",", ":")) + "\n" for body in bodies))
    return path
