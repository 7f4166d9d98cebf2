"""Deadlines that pass, and callers who hang up, behind more texts or candidates than can be done in time."""

import json
import select
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np

from benchmarks.chaos.drill import Ground
from benchmarks.speed import asks, crowd, lineup
from benchmarks.speed.link import PATIENCE, Link, links, request
from benchmarks.speed.rig import Rig, Served
from benchmarks.speed.targets import Target

LINE, SECONDS = 5, 90.0
ROUNDS = 3
JAM, LATE, DEADLINE = 256, 64, 50  # texts ahead, requests behind them, milliseconds
HEARD = 0.02  # seconds in which a request is read
BATCHES, BATCH, LARGE = 3, 64, 5_000  # calls ahead, requests of each, candidates of each
QUEUED = 1_100  # candidates of a request that waits for a thread

Wait = tuple[int, float]  # status, milliseconds beyond the deadline

TOLD = (
    "Three times: 64 requests with texts of their own and a deadline of 50 ms are behind 256 texts (late); then the "
    "same without a deadline, whose callers hang up after 20 ms (gone). Nobody is refused for overload. Beyond: from "
    "when a request was sent to its 504, less the deadline. Runs for them: of the text encoder, but for those ahead. "
    "Candidates: three times 64 requests with 1,100 candidates and a deadline of 50 ms are behind three batches of "
    "64 requests with 5,000 each; some are answered in time."
)


def measure(ground: Ground) -> dict[str, Any]:
    """Late ones, and those whose caller has gone."""
    with (
        ground.rig() as ready,
        ready.serve(lineup.chorus("late", local_cache=20_000, request_timeout_ms=60_000)) as served,
    ):
        size = JAM + LATE
        texts = crowd.unseen(ready.crowd, 2 * ROUNDS * size)
        parts = [texts[start : start + size] for start in range(0, len(texts), size)]
        return {
            "late": _late(served, parts[:ROUNDS]),
            "gone": _counts(served, parts[ROUNDS:], "abandoned", _hang_up),
            "candidates": _heavy(ready, served),
        }


def bounds(found: Mapping[str, Any]) -> list[Target]:
    """What line 5 asks for."""
    late, gone, heavy = found["late"], found["gone"], found["candidates"]
    return [
        Target("late: runs for them", late["runs for them"], 0, below=True),
        Target("late: counted less than or beyond their number", late["miscounted"], 0, below=True),
        Target("late: answered with other than 504", late["other than 504"], 0, below=True),
        Target("late: 504 beyond the deadline, p99 ms", late["beyond, p99 ms"], 10, below=True),
        Target("late: 504 beyond the deadline, most ms", late["beyond, most ms"], 10, below=True),
        Target("gone: runs for them", gone["runs for them"], 0, below=True),
        Target("gone: counted less than or beyond their number", gone["miscounted"], 0, below=True),
        Target("candidates: answered with other than 200 and 504", heavy["other"], 0, below=True),
        Target("candidates: 504 beyond the deadline, p99 ms", heavy["beyond, p99 ms"], 10, below=True),
    ]


def _late(served: Served, parts: Sequence[list[str]]) -> dict[str, Any]:
    waits: list[Wait] = []
    counted = _counts(served, parts, "expired", lambda asked: waits.extend(_waited(asked)), DEADLINE)
    beyond = _beyond(waits)
    return counted | {"other than 504": counted["requests"] - len(beyond), **_spread(beyond)}


def _heavy(ready: Rig, served: Served) -> dict[str, Any]:
    """The same behind candidates: large batches ahead, and requests that wait for a thread."""
    bodies = asks.batched(asks.ranked(ready.crowd, LARGE, BATCHES * BATCH, seed=17), BATCH)
    url, waits = f"{served.address}/recommend", list[Wait]()
    late = [
        _dated(request(url, json.dumps(body).encode()), DEADLINE)
        for body in asks.ranked(ready.crowd, QUEUED, LATE, seed=18)
    ]
    for _ in range(ROUNDS):
        opened = links(url, len(late))
        with ThreadPoolExecutor(BATCHES) as pool:
            jam = [pool.submit(served.post, "/recommend/batch", body) for body in bodies]
            while not _counted(served)["candidates"] and not all(each.done() for each in jam):
                time.sleep(0.001)
            for link, ask in zip(opened, late, strict=True):
                link.ask(ask, time.perf_counter())
            waits += _waited(opened)
            for each in jam:
                each.result()
    beyond, told = _beyond(waits), sum(status == 200 for status, _ in waits)
    other = ROUNDS * LATE - len(beyond) - told
    return {"requests": ROUNDS * LATE, "504": len(beyond), "200": told, "other": other, **_spread(beyond)}


def _beyond(waits: Sequence[Wait]) -> list[float]:
    return [each for status, each in waits if status == 504]


def _spread(beyond: Sequence[float]) -> dict[str, float]:
    waits = beyond or [float("inf")]
    return {
        "beyond, median ms": float(np.median(waits)),
        "beyond, p99 ms": float(np.percentile(waits, 99)),
        "beyond, most ms": max(waits),
    }


def _counts(
    served: Served,
    parts: Sequence[list[str]],
    counter: str,
    end: Callable[[list[Link]], None],
    deadline: int | None = None,
) -> dict[str, Any]:
    """Ask part after part, and let `end` end the requests behind the jam: what ran, and what was counted."""
    before = _counted(served)
    for texts in parts:
        _behind(served, texts, end, deadline)
    time.sleep(0.2)
    after = _counted(served)
    number = LATE * len(parts)
    return {
        "requests": number,
        "runs for them": after["encodes"] - before["encodes"] - JAM * len(parts),
        "counted": after[counter] - before[counter],
        "miscounted": abs(after[counter] - before[counter] - number),
    }


def _behind(
    served: Served, texts: list[str], end: Callable[[list[Link]], None], deadline: int | None
) -> None:
    """Requests behind a jam that is half way in."""
    url = f"{served.address}/recommend"
    late = [
        _dated(request(url, json.dumps({"query": text, "k": 1}).encode()), deadline) for text in texts[JAM:]
    ]
    opened = links(url, len(late))
    with ThreadPoolExecutor(1) as pool:
        jam = pool.submit(served.post, "/score", {"texts": texts[:JAM]})
        while _counted(served)["texts"] < JAM / 2 and not jam.done():
            time.sleep(0.001)
        for link, ask in zip(opened, late, strict=True):
            link.ask(ask, time.perf_counter())
        end(opened)
        jam.result()


def _dated(ask: bytes, deadline: int | None) -> bytes:
    """With a deadline in milliseconds, or without."""
    told = b"" if deadline is None else b"\r\nX-Request-Timeout-Ms: %d" % deadline
    return ask.replace(b"\r\n\r\n", told + b"\r\n\r\n", 1)


def _waited(asked: list[Link]) -> list[Wait]:
    """The status of each answer, and its milliseconds beyond the deadline."""
    waits, busy = list[Wait](), {link.socket: link for link in asked}
    end = time.monotonic() + PATIENCE
    while busy and time.monotonic() < end:
        for each in select.select(list(busy), [], [], 1.0)[0]:
            link = busy[each]
            if (head := link.answer()) is not None:
                waits.append((int(head.split(b" ", 2)[1]), 1e3 * (time.perf_counter() - link.due) - DEADLINE))
                busy.pop(each).socket.close()
    return waits


def _hang_up(asked: list[Link]) -> None:
    time.sleep(HEARD)
    for link in asked:
        link.socket.close()


def _counted(served: Served) -> dict[str, float]:
    lines = httpx.get(f"{served.address}/metrics").text.splitlines()

    def total(name: str) -> float:
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"chorus_{name}"))

    names = (
        "expired_total", "abandoned_total", 'encodes_total{encoder="text"}', "texts_waiting", "candidates_waiting"
    )  # fmt: skip
    return {name.partition("_")[0]: total(name) for name in names}
