"""Many users at once: /recommend/batch beside single requests, and files scored offline."""

import sys
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np
import polars as pl
import psutil

from benchmarks.speed import asks, lineup
from benchmarks.speed.process import running
from benchmarks.speed.rig import Rig
from benchmarks.speed.rounds import order, ratios, spread

USERS, SIZE = 64, 100
ROUNDS, SECONDS = 3, 3.0
SINGLE, BATCH, OFFLINE = "single requests", "/recommend/batch", "chorus-serve score"
HEADS = "the heads alone, in a loop"
SMALL, BRIEF = 10_000, 6.0  # pairs of the first file, and seconds in which a fast program scores them
LONGEST = 40.0  # seconds of the longest run
MOST = 10_000_000

TOLD = (
    "64 users with 100 candidates each: one call of /recommend/batch (2 connections) beside 64 of "
    "/recommend (8). A file: `chorus-serve score` from parquet to parquet, a hundred items a user; the "
    "rate is that between the last two files, which leaves the start out. The heads alone: a hundred items of "
    "another user a run, on vectors and contexts that lie ready; nothing that scores pairs so can be faster."
)


def measure(rig: Rig) -> dict[str, Any]:
    """Pairs a second of each way, round by round online, then of a file, with the memory that it took."""
    bodies = asks.ranked(rig.crowd, SIZE, 1_280, seed=14)
    files = {
        SINGLE: (rig.bodies("single", bodies), "/recommend", 8, SIZE),
        BATCH: (rig.bodies("batch", asks.batched(bodies, USERS)), "/recommend/batch", 2, SIZE * USERS),
    }
    rates: dict[str, list[float]] = {name: [] for name in files}
    with rig.serve(lineup.chorus("batch")) as served:
        for number in range(1 if rig.quick else ROUNDS):
            for name in order(list(files), number):
                rig.say(f"  round {number + 1}: {name}")
                file, path, connections, pairs = files[name]
                rig.stir(served, file, connections=connections, path=path)
                load = rig.load(served, file, seconds=SECONDS, connections=connections, path=path)
                rates[name].append(load.rate * pairs)
    return {
        "pairs a second": {name: spread(values) for name, values in rates.items()},
        "batch to": ratios(rates, BATCH),
        "offline": _offline(rig, median(rates[BATCH])),
    }


def _offline(rig: Rig, usual: float) -> dict[str, Any]:
    """Files that grow as long as the time allows; the last two tell scoring from starting."""
    runs = [_score(rig, SMALL)]
    runs.append(_score(rig, SMALL * (20 if runs[0]["seconds"] < BRIEF else 2)))
    if (expected := int(_rate(runs) * LONGEST)) > 2 * runs[-1]["pairs"] and not rig.quick:
        runs.append(_score(rig, min(MOST, expected)))
    return {
        "pairs a second": _rate(runs),
        "to batch": _rate(runs) / usual,
        HEADS: rig.told("pair_loop", SECONDS, SIZE)["pairs"],
        "runs": runs,
        "peak MiB, last to first": runs[-1]["peak MiB"] / runs[0]["peak MiB"],
    }


def _rate(runs: Sequence[dict[str, Any]]) -> float:
    """Pairs a second between the last two runs."""
    (before, after) = runs[-2:]
    return float((after["pairs"] - before["pairs"]) / max(after["seconds"] - before["seconds"], 1e-3))


def _score(rig: Rig, pairs: int) -> dict[str, Any]:
    """Score a parquet file of any users and items; how long it took and the most memory it had."""
    source, out = rig.folder / "pairs.parquet", rig.folder / "scored.parquet"
    _pairs(rig, pairs).write_parquet(source)
    command = [sys.executable, "-m", "app", "score", str(source), "--out", str(out)]
    env = lineup.environment(lineup.chorus(), rig.bench, redis=rig.redis, port=0)
    rig.say(f"  score {pairs:,} pairs")
    start, memory = time.perf_counter(), [0.0]
    with running("score", command, env=env, cores=[rig.cores.server], folder=rig.folder) as process:
        while process.alive:
            memory.append(sum(_resident(each) for each in process.tree()))
            time.sleep(0.1)
        seconds, code, told = time.perf_counter() - start, process.popen.wait(), process.told()
    if code or "rows scored, 0 could" not in told:
        raise SystemExit(f"scoring failed: {told}")
    parts = np.array_split(np.array(memory), 10)
    return {
        "pairs": pairs,
        "seconds": seconds,
        "peak MiB": max(memory),
        "MiB by tenth of the time": [float(part.max()) for part in parts if len(part)],
    }


def _pairs(rig: Rig, number: int) -> pl.DataFrame:
    """Users in blocks of a hundred items each, as a nightly job has them."""
    generator = np.random.default_rng(15)
    users = pl.Series("user_id", [user.name for user in rig.crowd.users])
    items = pl.Series("item_id", rig.crowd.item_ids)
    blocks = np.arange(number) // SIZE % len(users)
    return pl.DataFrame([users.gather(blocks), items.gather(generator.integers(0, len(items), number))])


def _resident(process: psutil.Process) -> float:
    try:
        return float(process.memory_info().rss) / 2**20
    except psutil.Error:
        return 0.0
