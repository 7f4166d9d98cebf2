"""BentoML: one worker, no access log; ranks where it waits, which measured faster than a thread pool."""

import bentoml
from redis.asyncio import Redis

from benchmarks.speed import keys
from benchmarks.speed.contenders.models import Answer, Context
from benchmarks.speed.contenders.ranker import Place, ranker


@bentoml.service(workers=1, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Recommend:
    """Ranks given candidates."""

    def __init__(self) -> None:
        place = Place.read()
        self._ranker = ranker(place)
        self._redis = Redis.from_url(place.redis)

    @bentoml.api(route="/recommend")
    async def recommend(
        self, user_id: str, candidates: list[str], context: Context, query: str | None = None, k: int = 20
    ) -> Answer:
        user, *queries = await self._redis.mget(keys.names(user_id, query))
        text = queries[0] if queries else None
        items = self._ranker.rank(candidates, user, text, context.timestamp, k)
        return Answer(items=items)
