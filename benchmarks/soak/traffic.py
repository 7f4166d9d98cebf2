"""What goes on beside requests: users do something, items come, change and go; and how much the process holds."""

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import psutil
from redis import Redis

from app import keys
from benchmarks.speed.crowd import Crowd, moment

BEFORE, APART = 3_600.0, 0.05  # seconds before all requests at which events begin, and between two of them
NEW, KNOWN = (
    100,
    100,
)  # items that are there at a time, and items of the bundle that are replaced again and again
TEXTS = 500

Fact = tuple[str, str, float]  # item, event, unix seconds to the millisecond


@dataclass
class Said:
    """Moments at which something was asked for, unix seconds; what was answered in place of what should have been."""

    times: list[float] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def note(self, ask: Callable[[], httpx.Response], right: Callable[[Any], bool]) -> bool:
        """Ask; whether the answer is 200, and right."""
        self.times.append(time.time())
        try:
            answer = ask()
            good = answer.status_code == 200 and right(answer.json())
            told = f"{answer.status_code} {answer.text[:200]}"
        except httpx.TransportError as error:
            good, told = False, repr(error)
        if not good:
            self.faults.append(told)
        return good


class Events:
    """A click after another, user after user, each a little later than the last: the next answer counts it."""

    def __init__(self, client: httpx.Client, crowd: Crowd, seed: int = 41) -> None:
        self.said = Said()
        self.accepted: dict[str, list[Fact]] = defaultdict(list)
        self._client, self._crowd, self._numbers = client, crowd, count()
        self._generator = np.random.default_rng(seed)

    def tell(self) -> None:
        """The next one."""
        number, crowd = next(self._numbers), self._crowd
        user = crowd.users[number % len(crowd.users)].name
        item = crowd.item_ids[self._generator.integers(len(crowd.item_ids))]
        kind, when = crowd.bundle.manifest.events[1], round(crowd.now - BEFORE + APART * number, 3)
        body = {
            "event_id": uuid4().hex, "user_id": user, "item_id": item, "event": kind, "timestamp": moment(when),
        }  # fmt: skip
        if self.said.note(
            lambda: self._client.post("/events", json={"events": [body]}), lambda told: told["accepted"] == 1
        ):
            self.accepted[user].append((item, kind, when))

    def stored(self, redis: str) -> dict[str, int]:
        """How many were accepted, and how many entries of them the histories in Redis hold."""
        found = 0
        with Redis.from_url(redis) as store:
            for user, facts in self.accepted.items():
                entries = map(json.loads, store.lrange(keys.user(user, keys.HISTORY), 0, -1))
                wanted = set(facts)
                found += sum((item, kind, round(when, 3)) in wanted for item, kind, when in entries)
        return {"accepted": sum(map(len, self.accepted.values())), "stored": found}


class Items:
    """In turn: a new item is put; one that the bundle has is replaced; the oldest of the new ones is deleted."""

    def __init__(self, client: httpx.Client, known: Sequence[str], texts: Sequence[str], name: str) -> None:
        self.said = Said()
        self._client, self._known, self._texts, self._name = client, known, texts, name
        self._numbers = count()

    def change(self) -> None:
        """The next one."""
        turn, kind = divmod(next(self._numbers), 3)
        known = self._known[turn % len(self._known)]
        if kind == 0:
            self._put(f"soak-{turn}", turn, known)
        elif kind == 1:
            self._put(known, turn + 1, known)
        elif turn >= NEW:
            self._delete(f"soak-{turn - NEW}")

    def _put(self, item: str, number: int, like: str) -> None:
        """With a text of its own, and what another item has besides."""
        described = self._client.get(f"/items/{like}").json()
        body = {name: described[name] for name in ("attributes", "numbers", "published")}
        body |= {"item_id": item, "text": {self._name: self._texts[number % len(self._texts)]}}
        self.said.note(
            lambda: self._client.put("/items", json={"items": [body]}),
            lambda told: told["results"] == [{"status": 200, "item_id": item}],
        )

    def _delete(self, item: str) -> None:
        self.said.note(lambda: self._client.delete(f"/items/{item}"), lambda told: bool(told["deleted"]))


@dataclass
class Held:
    """What a process held and had worked by then, look after look: unix seconds, MiB resident, processor seconds."""

    pid: int
    times: list[float] = field(default_factory=list)
    resident: list[float] = field(default_factory=list)
    worked: list[float] = field(default_factory=list)

    def look(self) -> None:
        """Once more."""
        process = psutil.Process(self.pid)
        with process.oneshot():
            spent, memory = process.cpu_times(), process.memory_info()
        self.times.append(time.time())
        self.resident.append(memory.rss / 2**20)
        self.worked.append(spent.user + spent.system)


def every(seconds: float, act: Callable[[], None], stop: threading.Event) -> None:
    """Again and again until `stop`; who is late does not hurry after."""
    due = time.monotonic()
    while not stop.is_set():
        act()
        due = max(due + seconds, time.monotonic())
        stop.wait(due - time.monotonic())
