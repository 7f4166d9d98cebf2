"""LitServe: an API process and one inference process over ZeroMQ (`fast_queue`), as its docs advise for speed."""

from datetime import datetime
from typing import Any

import litserve
from redis.asyncio import Redis

from benchmarks.speed import keys
from benchmarks.speed.contenders.ranker import Place, ranker


class Recommend(litserve.LitAPI):
    """Ranks given candidates; requests overlap while they wait for Redis."""

    def setup(self, device: str) -> None:
        del device
        place = Place.read()
        self._ranker = ranker(place)
        self._redis = Redis.from_url(place.redis)

    async def decode_request(self, request: dict[str, Any]) -> dict[str, Any]:
        return request

    async def predict(self, inputs: dict[str, Any]) -> dict[str, Any]:
        text = inputs.get("query")
        user, *query = await self._redis.mget(keys.names(inputs["user_id"], text))
        found = self._ranker.rank(
            inputs["candidates"], user, query[0] if query else None,
            datetime.fromisoformat(inputs["context"]["timestamp"]), inputs.get("k", 20),
        )  # fmt: skip
        return {"items": found}

    async def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        return output


if __name__ == "__main__":
    server = litserve.LitServer(
        Recommend(api_path="/recommend", enable_async=True),
        accelerator="cpu",
        workers_per_device=1,
        fast_queue=True,
    )
    server.run(
        host="127.0.0.1", port=Place.read().port, num_api_servers=1, log_level="warning",
        generate_client_file=False, access_log=False, loop="uvloop",
    )  # fmt: skip
