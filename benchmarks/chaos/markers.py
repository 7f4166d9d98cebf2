"""Traffic in which all that is somebody's is marked, and a search for the marks in what is written down."""

import re
import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx
from redis import Redis

from app import keys
from benchmarks.chaos.locked import Locked
from benchmarks.speed.rig import Rig

MARK = "mark"
HEADERS = ("User-Agent", "Referer", "Cookie", "X-Forwarded-For", "X-Other")
USER = ("ACL", "SETUSER", "default")


class Marked:
    """Marks that are counted, so that one that is found says where it was sent."""

    def __init__(self) -> None:
        self._number = 0
        self.statuses: dict[int, int] = {}

    def new(self, what: str) -> str:
        """One that no other word holds."""
        self._number += 1
        return f"{MARK}-{what}-{self._number}"

    def ask(self, client: httpx.Client) -> None:
        """One round of everything that can be asked, right and wrong."""
        user, item = self.new("user"), "new"
        query, text, name = self.new("query"), self.new("text"), self.new("name")
        headers = {
            each: self.new("header")
            for each in ("User-Agent", "Referer", "Cookie", "X-Forwarded-For", "X-Other")
        }
        cold = {"item_id": item, "text": {"title": text}}
        event = {"event_id": self.new("event"), "user_id": user, "item_id": item, "event": "click"}
        posts: Sequence[tuple[str, Any]] = (
            ("/recommend", {"user_id": user, "query": query, "candidates": [cold, self.new("candidate")]}),
            ("/recommend", {"user_id": user, "k": 1, "context": {"device": self.new("device")}}),
            ("/recommend", {"user_id": user, name: text}),
            ("/recommend", {"user_id": user, "filters": {name: [text]}, "k": text}),
            ("/recommend", {"user_id": user, "fusion": {"method": text}, "profile": {name: text}}),
            ("/recommend/batch", {"requests": [{"user_id": user}, {"user_id": 5, name: query}, query]}),
            ("/score", {"pairs": [{"user_id": user, **cold}, {"item_id": name}], "texts": [query, text]}),
            ("/events", {"events": [event, event | {"event": self.new("kind")}, event | {"timestamp": text}]}),
            ("/items/delete", {"item_ids": [item], name: text}),
            ("/admin/versions", {"version": text}),
        )  # fmt: skip
        for path, body in posts:
            self._count(client.post(path, json=body, headers=headers))
        self._count(client.put("/items", json={"items": [cold, {"item_id": 5, name: text}]}, headers=headers))
        self._count(client.post("/recommend", content=f'{{"user_id": "{user}", "{query}', headers=headers))
        self._count(client.get(f"/{user}/{text}", params={"q": query}, headers=headers))
        self._count(client.get(f"/v1/items/{user}", headers=headers))
        self._count(client.get("/info", headers={"X-API-Key": self.new("key")}))
        self._count(
            client.request("PATCH", f"/items/{user}", headers=headers | {"Authorization": f"Bearer {name}"})
        )
        late = headers | {"X-Request-Timeout-Ms": "1"}
        self._count(
            client.post("/score", json={"texts": [self.new("late") for _ in range(50)]}, headers=late)
        )

    def _count(self, answer: httpx.Response) -> None:
        self.statuses[answer.status_code] = self.statuses.get(answer.status_code, 0) + 1


def scan(service: Locked, ready: Rig, seconds: float) -> dict[str, Any]:
    """Traffic while Redis is well and while it is not, then the search."""
    marked, redis = Marked(), Redis.from_url(ready.redis)
    harms = _harms(redis)
    with service.client() as client:
        for begin, end in harms.values():
            begin()
            deadline = time.monotonic() + seconds / len(harms)
            while time.monotonic() < deadline:
                marked.ask(client)
            end()
        metrics = client.get("/metrics").text
    log = service.process.log.read_text(errors="replace")
    found = sorted(set(re.findall(rf"{MARK}-\w+", log))), sorted(set(re.findall(rf"{MARK}-\w+", metrics)))
    return {
        "requests": sum(marked.statuses.values()),
        "statuses": {str(status): number for status, number in sorted(marked.statuses.items())},
        "lines of log": log.count("\n"),
        "lines of metrics": metrics.count("\n"),
        "found": sum(map(len, found)) + (log + metrics).count(service.key),
        "found in logs": "; ".join(found[0]),
        "found in metrics": "; ".join(found[1]),
    }


def _harms(redis: Redis) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """What is wrong with Redis meanwhile: how each begins and ends."""

    def told(*words: object) -> Callable[[], object]:
        return lambda: redis.execute_command(*words)

    def spoil() -> None:
        """Histories of users to come are of another type."""
        with redis.pipeline(transaction=False) as pipe:
            for number in range(50_000):
                pipe.set(keys.user(f"{MARK}-user-{number}", keys.HISTORY), b"no list")
            pipe.execute()

    def mend() -> None:
        redis.delete(*redis.keys(f"*{MARK}-user-*"))

    return {
        "nothing": (lambda: None, lambda: None),
        "types": (spoil, mend),
        "full": (told("CONFIG", "SET", "maxmemory", "1mb"), told("CONFIG", "SET", "maxmemory", "0")),
        "read-only": (told("REPLICAOF", "127.0.0.1", "1"), told("REPLICAOF", "NO", "ONE")),
        "not allowed": (told(*USER, "resetkeys", "~no"), told(*USER, "~*")),
        "silent": (told("CLIENT", "PAUSE", "2000"), lambda: time.sleep(2.0)),
    }  # fmt: skip
