"""How long a warm user waits: services asked in turn over connections that stay open."""

import http.client
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
from rich.progress import Progress

from benchmarks.serving import TIMEOUT, batches, tell
from model_store.moment import SHOWN_LISTS, VIEW
from training.dataset import Dataset
from training.export.golden import moment

USERS = 20
LISTED = 20  # items of a list that was shown
SEEN = 100  # items of a list that nobody in particular was shown
K = 20
DAY = 86_400.0

Summary = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Ask:
    """One request, ready to be sent, and how many candidates it gives."""

    size: int
    body: bytes


def warm(address: str, dataset: Dataset) -> int:
    """Tell the service of a busy day: every item seen and acted on, every warm user shown full lists."""
    generator = np.random.default_rng(1)
    with httpx.Client(base_url=address, timeout=TIMEOUT) as client:
        info = client.get("/info").json()
        counted = (info["statistics"] or {"events": []})["events"]
        shown = "shown" in info["features"]
        ids, now = np.array(dataset.item_ids), time.time()

        def when() -> str:
            return moment(now - float(generator.uniform(0.0, DAY)))

        events: list[dict[str, Any]] = [
            {"event": name, "item_id": item, "timestamp": when()}
            for name in counted if name != VIEW for item in dataset.item_ids
        ]  # fmt: skip
        if VIEW in counted:
            parts = np.array_split(generator.permutation(ids), max(1, len(ids) // SEEN))
            events += [{"event": VIEW, "item_ids": part.tolist(), "timestamp": when()} for part in parts]
        if VIEW in counted or shown:
            for user in users(dataset):
                for _ in range(SHOWN_LISTS):
                    items = generator.choice(ids, min(LISTED, len(ids)), replace=False).tolist()
                    events.append({"event": VIEW, "item_ids": items, "user_id": user, "timestamp": when()})
        for batch in batches(events, info["limits"]["batch"]):
            tell(client, batch)
        return len(events)


def users(dataset: Dataset) -> list[str]:
    """Those with the longest histories."""
    sizes = np.diff(dataset.histories.starts)
    return [dataset.user_ids[number] for number in np.argsort(-sizes, kind="stable")[:USERS]]


def asks(dataset: Dataset, sizes: Sequence[int], number: int) -> list[Ask]:
    """So many requests of each size, in turn: a warm user, any items of the catalogue, any known words."""
    generator, known = np.random.default_rng(2), users(dataset)
    ids = np.array(dataset.item_ids)
    found = []
    for place in range(number):
        for size in sizes:
            context = {
                column: str(generator.choice(words))
                for column, words in dataset.features.words.items()
                if words
            }
            body = {
                "user_id": known[place % len(known)],
                "candidates": generator.choice(ids, min(size, len(ids)), replace=False).tolist(),
                "context": context, "k": K,
            }  # fmt: skip
            found.append(Ask(size, json.dumps(body).encode()))
    return found


def measure(addresses: Mapping[str, str], wanted: Sequence[Ask], progress: Progress) -> dict[int, Any]:
    """Ask every service everything, in turn; by size and service, milliseconds at p50 and p99 of all and by stage."""
    links = {name: http.client.HTTPConnection(urlsplit(address).netloc, timeout=TIMEOUT)
             for name, address in addresses.items()}  # fmt: skip
    names = list(links)
    for ask in wanted[: USERS * 2]:  # once a user, so that everyone is warm
        for name in names:
            _send(links[name], ask)
    seen: dict[int, dict[str, list[dict[str, float]]]] = {}
    bar = progress.add_task("ask in turn", total=len(wanted))
    for number, ask in enumerate(wanted):
        for name in names if number // 2 % 2 else reversed(names):
            seen.setdefault(ask.size, {}).setdefault(name, []).append(_send(links[name], ask))
        progress.advance(bar)
    for link in links.values():
        link.close()
    return {size: {name: _summary(waits) for name, waits in each.items()} for size, each in seen.items()}


def _send(link: http.client.HTTPConnection, ask: Ask) -> dict[str, float]:
    """Milliseconds: of the whole round, and of the stages that the service names."""
    start = time.perf_counter()
    link.request("POST", "/recommend", ask.body, {"Content-Type": "application/json"})
    response = link.getresponse()
    body = response.read()
    waited = 1e3 * (time.perf_counter() - start)
    if response.status != 200 or b'"degraded":[]' not in body:
        raise SystemExit(f"POST /recommend: {response.status} {body[-300:]!r}")
    stages = re.findall(r"(\w+);dur=([\d.]+)", response.headers["Server-Timing"])
    return {"round": waited, **{name: float(spent) for name, spent in stages}}


def _summary(waits: Sequence[Mapping[str, float]]) -> Summary:
    names = dict.fromkeys(name for each in waits for name in each)
    found = {}
    for name in names:
        values = np.array([each.get(name, 0.0) for each in waits])
        found[name] = {"p50": float(np.percentile(values, 50)), "p99": float(np.percentile(values, 99))}
    return {**found, "requests": {"number": len(waits)}}
