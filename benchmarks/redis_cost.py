"""What counting keeps in Redis, and whether it counts right when two services write at once."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import numpy as np
import redis

from app import keys
from benchmarks.redis_drill import free, start_redis
from benchmarks.serving import TIMEOUT, batches, serving, tell
from model_store.bundle import Bundle
from model_store.clock import Clock
from model_store.counters import Layout
from model_store.features import FeatureSet
from model_store.moment import VIEW
from training.export.golden import moment

PATIENCE = {"redis_timeout_ms": 10_000}
TOGETHER = 100  # items of a list
MIB = 1 << 20

ITEMS, EVENTS, TWICE = 200, 10_000, 0.2  # of the two writers: events each, and the share that both send

Event = dict[str, Any]


def memory(bundle: Path, items: int) -> dict[str, float]:
    """Memory of Redis before and after so many new items were each seen and acted on."""
    layout = layout_of(bundle)
    ids = [f"i{number:07d}" for number in range(items)]
    now = moment(time.time())
    events: list[Event] = [
        {"event": name, "item_id": item, "timestamp": now}
        for name in layout.events if name != VIEW for item in ids
    ]  # fmt: skip
    if VIEW in layout.events:
        events += [{"event": VIEW, "item_ids": list(part), "timestamp": now} for part in batches_of(ids)]
    with own_redis() as (port, store), serving(bundle, redis_url=_url(port), **PATIENCE) as address:
        before = int(store.info("memory")["used_memory"])
        start = time.perf_counter()
        _post(address, events)
        spent = time.perf_counter() - start
        after = int(store.info("memory")["used_memory"])
        name = keys.record(layout.digest, ids[-1])
        return {
            "items": items, "MiB before": before / MIB, "MiB after": after / MIB,
            "bytes an item": (after - before) / items, "bytes of a record": layout.dtype.itemsize,
            "bytes of a key": len(name), "bytes of both, as Redis says": float(store.memory_usage(name) or 0),
            "MiB per 100,000 items": (after - before) / items * 1e5 / MIB, "events": len(events),
            "item counts a second": len(layout.events) * items / spent,
        }  # fmt: skip


def batches_of(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Lists of items."""
    for start in range(0, len(ids), TOGETHER):
        yield ids[start : start + TOGETHER]


@dataclass(frozen=True)
class Sent:
    """One event as it is sent, and what it should count: items and kinds (places), and when."""

    event: Event
    items: tuple[int, ...]
    kind: int
    time: float


def writers(bundle: Path) -> dict[str, float]:
    """Two services on one Redis, told at once about the same items; what is counted, against what was sent."""
    layout, now = layout_of(bundle), time.time()
    ids = [f"w{number}" for number in range(ITEMS)]
    sent = drawn(layout, ids, now)
    both = int(EVENTS * TWICE)  # the first ones go through either service
    generator = np.random.default_rng(4)
    shares = [sent[:EVENTS], [*sent[:both], *sent[EVENTS:]]]
    orders = [[share[place].event for place in generator.permutation(len(share))] for share in shares]
    with own_redis() as (port, store):
        url = _url(port)
        with (
            serving(bundle, redis_url=url, **PATIENCE) as one,
            serving(bundle, redis_url=url, **PATIENCE) as two,
        ):
            start = time.perf_counter()
            duplicates = _at_once([one, two], orders)
            spent = time.perf_counter() - start
        found = [store.get(keys.record(layout.digest, item)) for item in ids]
    counted = np.frombuffer(b"".join(found), dtype=layout.dtype)  # type: ignore[arg-type]
    kinds = np.array([each.kind for each in sent for _ in each.items])
    times = np.array([each.time for each in sent for _ in each.items])
    items = np.array([item for each in sent for item in each.items])
    wanted = layout.count(ITEMS, items, kinds, times)
    ours, theirs = (layout.read(records, np.array([now])) for records in (wanted, counted))
    wrong = sum(
        int((~((one == two) | (np.isnan(one) & np.isnan(two)))).sum())
        for one, two in ((ours.counts, theirs.counts), (ours.last, theirs.last), (ours.first, theirs.first))
    )
    return {
        "events sent": sum(map(len, orders)), "sent twice": both, "duplicates noticed": duplicates,
        "items": ITEMS, "counts made": len(items), "counts and times compared": ours.counts.size + ours.last.size
        + ours.first.size, "wrong": wrong, "events a second": sum(map(len, orders)) / spent,
    }  # fmt: skip


def drawn(layout: Layout, ids: Sequence[str], now: float) -> list[Sent]:
    """Distinct events of all kinds and ages, some too late for any window; twice EVENTS less those sent twice."""
    generator = np.random.default_rng(3)
    longest = max(window.seconds for window in layout.windows)
    found = []
    for number in range(2 * EVENTS - int(EVENTS * TWICE)):
        kind = int(generator.integers(len(layout.events)))
        name = layout.events[kind]
        ages = (60.0, longest / 12, longest, 1.5 * longest)
        told = moment(now - 1.0 - float(generator.uniform(0.0, generator.choice(ages))))
        size = int(generator.integers(1, 20)) if name == VIEW else 1
        items = tuple(generator.choice(len(ids), size, replace=False).tolist())
        what = {"item_ids": [ids[item] for item in items]} if name == VIEW else {"item_id": ids[items[0]]}
        event = {"event": name, "event_id": f"w{number}", "timestamp": told, **what}
        found.append(Sent(event, items, kind, datetime.fromisoformat(told).timestamp()))
    return found


def layout_of(bundle: Path) -> Layout:
    """What a bundle counts; it must count something."""
    manifest = Bundle.open(bundle).manifest
    layout = FeatureSet(manifest.features, Clock(manifest.timezone)).layout
    if not layout.events:
        raise SystemExit(f"{bundle} counts nothing: its features read no counts, rates or times of events")
    return layout


@contextmanager
def own_redis() -> Iterator[tuple[int, redis.Redis]]:
    """A server of our own, without a limit, and a client."""
    port = free()
    with TemporaryDirectory() as folder:
        server = start_redis(port, Path(folder))
        try:
            with redis.Redis(port=port) as store:
                yield port, store
        finally:
            server.kill()
            server.wait()


def _url(port: int) -> str:
    return f"redis://127.0.0.1:{port}"


def _post(address: str, events: Sequence[Event]) -> int:
    with httpx.Client(base_url=address, timeout=TIMEOUT) as client:
        most = client.get("/info").json()["limits"]["batch"]
        return sum(tell(client, batch) for batch in batches(events, most))


def _at_once(addresses: Sequence[str], orders: Sequence[Sequence[Event]]) -> int:
    """Post through each address at the same time; how many events were duplicates."""
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda *pair: found.append(_post(*pair)), args=pair)
        for pair in zip(addresses, orders, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(found) < len(threads):
        raise SystemExit("a writer failed")
    return sum(found)
