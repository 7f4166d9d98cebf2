"""BentoML: one worker, no access log."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import bentoml
from pydantic import BaseModel
from redis.asyncio import Redis

from benchmarks.speed import keys
from benchmarks.speed.contenders.ranker import Place, ranker


class Context(BaseModel):
    """When it is asked."""

    timestamp: datetime


class Scored(BaseModel):
    """One item."""

    item_id: str
    score: float
    tasks: dict[str, float]


class Answer(BaseModel):
    """The best ones, best first."""

    items: list[Scored]


@bentoml.service(workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Recommend:
    """Ranks given candidates."""

    def __init__(self) -> None:
        place = Place.read()
        self._ranker = ranker(place)
        self._redis = Redis.from_url(place.redis)
        self._pool = ThreadPoolExecutor(1)

    @bentoml.api(route="/recommend")
    async def recommend(
        self, user_id: str, candidates: list[str], context: Context, query: str | None = None, k: int = 20
    ) -> Answer:
        user, *queries = await self._redis.mget(keys.names(user_id, query))
        items = await asyncio.get_running_loop().run_in_executor(
            self._pool, self._ranker.rank, candidates, user, queries[0] if queries else None,
            context.timestamp, k,
        )  # fmt: skip
        return Answer(items=items)
