"""mosec: a Rust front, a Python worker over a Unix socket; JSON by msgspec, into typed structs."""

from typing import Any

from mosec import Server, Worker
from redis import Redis

from benchmarks.speed import keys
from benchmarks.speed.contenders import typed
from benchmarks.speed.contenders.ranker import Place, ranker


class Recommend(Worker):
    """One process that ranks."""

    def __init__(self) -> None:
        super().__init__()
        place = Place.read()
        self._ranker = ranker(place)
        self._redis = Redis.from_url(place.redis)

    def deserialize(self, data: bytes) -> typed.Request:
        return typed.decode(data)

    def serialize(self, data: Any) -> bytes:
        return typed.encode(data)

    def forward(self, data: typed.Request) -> dict[str, Any]:
        user, *query = self._redis.mget(keys.names(data.user_id, data.query))
        found = self._ranker.rank(
            data.candidates, user, query[0] if query else None, data.context.timestamp, data.k
        )
        return {"items": found}


if __name__ == "__main__":
    server = Server()
    server.append_worker(Recommend, num=1, route="/recommend")
    server.run()
