"""The plain app that a team writes: FastAPI, pydantic, redis.asyncio, onnxruntime in a thread pool.

uvicorn with uvloop and httptools, one worker, no access log.
"""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Annotated

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, Field
from redis.asyncio import Redis

from benchmarks.speed import keys
from benchmarks.speed.contenders.models import Answer, Context
from benchmarks.speed.contenders.ranker import Place, ranker


class Request(BaseModel):
    """Rank these for this user."""

    user_id: str
    query: str | None = None
    candidates: Annotated[list[str], Field(max_length=10_000)]
    k: Annotated[int, Field(ge=1, le=500)] = 20
    context: Context


place = Place.read()
rank = ranker(place).rank
redis = Redis.from_url(place.redis)
pool = ThreadPoolExecutor(1)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    await redis.aclose()


app = FastAPI(lifespan=lifespan)


@app.post("/recommend")
async def recommend(request: Request) -> Answer:
    user, *query = await redis.mget(keys.names(request.user_id, request.query))
    items = await asyncio.get_running_loop().run_in_executor(
        pool, rank, request.candidates, user, query[0] if query else None,
        request.context.timestamp, request.k,
    )  # fmt: skip
    return Answer(items=items)


if __name__ == "__main__":
    uvicorn.run(app, port=place.port, loop="uvloop", http="httptools", access_log=False, log_level="warning")
