import asyncio
import socket

import pytest

from app.errors import CacheAway
from app.link import Link
from app.metrics import Metrics
from tests.live import eventually_async, real_redis


def test_commands_come_back_in_one_trip_in_order(redis_server):
    async def run():
        link = Link(redis_server.url, timeout=2.0, metrics=Metrics())
        await link.open()
        results = await link.run("test", [("SET", "link:a", "1"), ("GET", "link:a"), ("GET", "link:none")])
        await link.close()
        return results

    assert asyncio.run(run()) == [True, b"1", None]


def test_a_command_that_is_refused_is_its_own_result(redis_server):
    async def run():
        link = Link(redis_server.url, timeout=2.0, metrics=Metrics())
        results = await link.run(
            "test", [("SET", "link:s", "1"), ("LPUSH", "link:s", "1"), ("GET", "link:s")]
        )
        away = link.away
        await link.close()
        return results, away

    results, away = asyncio.run(run())
    assert isinstance(results[1], Exception)
    assert results[2] == b"1"
    assert not away


def test_no_server_at_all_is_away():
    async def run():
        link = Link(None, timeout=0.05, metrics=Metrics())
        await link.open()
        assert link.away
        with pytest.raises(CacheAway):
            await link.run("test", [("PING",)])
        await link.close()

    asyncio.run(run())


def test_a_server_that_never_answers_opens_the_breaker():
    async def run():
        with socket.create_server(("127.0.0.1", 0)) as listener:
            link = Link(f"redis://127.0.0.1:{listener.getsockname()[1]}", timeout=0.05, metrics=Metrics())
            with pytest.raises(CacheAway):
                await link.run("test", [("PING",)])
            assert link.away
            with pytest.raises(CacheAway, match="Redis is away"):
                await link.run("test", [("PING",)])
            await link.close()

    asyncio.run(run())


def test_it_heals_by_itself_when_the_server_is_back():
    async def run():
        with real_redis() as server:
            link = Link(server.url, timeout=0.5, metrics=Metrics())
            await asyncio.gather(*(link.run("test", [("PING",)]) for _ in range(8)))  # eight open connections
            server.kill()
            with pytest.raises(CacheAway):
                await link.run("test", [("PING",)])
            server.start()

            async def back() -> bool:
                return not link.away

            await eventually_async(back)
            for _ in range(16):  # none of the old connections is met again
                await link.run("test", [("PING",)])
            await link.close()

    asyncio.run(run())
