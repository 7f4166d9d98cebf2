"""Ray Serve: one proxy, one replica, RAY_SERVE_THROUGHPUT_OPTIMIZED, no access log."""

import os
from datetime import datetime
from typing import Any

import ray
from ray import serve
from redis.asyncio import Redis
from starlette.requests import Request

from benchmarks.speed import keys
from benchmarks.speed.contenders.ranker import Place, ranker


@serve.deployment(
    num_replicas=1, max_ongoing_requests=100, health_check_period_s=3_600, health_check_timeout_s=3_600
)
class Recommend:
    """Ranks given candidates."""

    def __init__(self) -> None:
        place = Place.read()
        self._ranker = ranker(place)
        self._redis = Redis.from_url(place.redis)

    async def __call__(self, request: Request) -> dict[str, Any]:
        asked = await request.json()
        user, *query = await self._redis.mget(keys.names(asked["user_id"], asked.get("query")))
        found = self._ranker.rank(
            asked["candidates"], user, query[0] if query else None,
            datetime.fromisoformat(asked["context"]["timestamp"]), asked.get("k", 20),
        )  # fmt: skip
        return {"items": found}


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="warning")
    serve.start(
        http_options={"host": "127.0.0.1", "port": int(os.environ["SPEED_PORT"])},
        logging_config={"enable_access_log": False, "log_level": "WARNING"},
    )
    serve.run(Recommend.bind(), route_prefix="/recommend", blocking=True)
