import asyncio
import socket
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from app.errors import CacheAway
from app.link import MOST, Link
from app.metrics import Metrics
from tests.live import Relay, eventually_async, parrot, real_redis


async def healed(link: Link) -> None:
    async def back() -> bool:
        return not link.away

    await eventually_async(back)


def test_commands_come_back_in_one_trip_in_order(redis_server):
    async def run():
        link = Link(redis_server.url, timeout=2.0, metrics=Metrics())
        await link.open()
        results = await link.run("test", [("SET", "link:a", "1"), ("GET", "link:a"), ("GET", "link:none")])
        await link.close()
        return results

    assert asyncio.run(run()) == [b"OK", b"1", None]


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


def test_commands_that_are_refused_again_and_again_are_logged_once_a_second(redis_server, caplog):
    async def run():
        link = Link(redis_server.url, timeout=2.0, metrics=Metrics())
        await link.run("test", [("SET", "link:l", "1")])
        for _ in range(50):
            await link.run("test", [("LPUSH", "link:l", "1")])
        await link.close()

    asyncio.run(run())
    lines = [record for record in caplog.records if "refuses commands of test: WRONGTYPE" in record.message]
    assert 1 <= len(lines) < 25


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
            await healed(link)
            for _ in range(16):  # none of the old connections is met again
                await link.run("test", [("PING",)])
            await link.close()

    asyncio.run(run())


def test_why_it_stays_away_is_told_when_that_changes_and_once(caplog):
    async def run():
        with real_redis() as server, TemporaryDirectory(prefix="redis-") as folder:
            with server.client() as client:
                client.config_set("requirepass", "new")
            place = Path(folder) / "redis.sock"
            link = Link(f"unix://{place}", timeout=2.0, metrics=Metrics())
            await link.open()
            place.symlink_to(server.url.removeprefix("unix://"))

            async def told() -> bool:
                return any("is still away" in record.message for record in caplog.records)

            await eventually_async(told)
            await asyncio.sleep(1.5)  # another ping
            await link.close()

    asyncio.run(run())
    [line] = [record.message for record in caplog.records if "is still away" in record.message]
    assert "NOAUTH" in line


@pytest.mark.parametrize("call", [Link.run, Link.read])
def test_a_late_reply_reaches_nobody(redis_server, call):
    async def run():
        with redis_server.client() as client:
            client.mset({f"link:late:{n}": n for n in range(50)})
            link = Link(redis_server.url, timeout=0.2, metrics=Metrics())
            assert await call(link, "test", [("GET", "link:late:0")]) == [b"0"]
            client.execute_command("CLIENT", "PAUSE", 400, "ALL")
        with pytest.raises(CacheAway):
            await call(link, "test", [("GET", "link:late:1")])
        assert link.away
        await healed(link)
        found = await asyncio.gather(*(call(link, "test", [("GET", f"link:late:{n}")]) for n in range(50)))
        await link.close()
        return found

    assert asyncio.run(run()) == [[str(n).encode()] for n in range(50)]


def test_a_connection_that_is_reset_within_a_reply_is_away_and_heals(redis_server):
    async def run():
        async with Relay(redis_server.url.removeprefix("unix://")) as relay:
            link = Link(relay.url, timeout=2.0, metrics=Metrics())
            await link.open()
            relay.cut = 100
            with pytest.raises(CacheAway):
                await link.run("test", [("ECHO", "x" * 1_000)])
            assert link.away
            relay.cut = None
            await healed(link)
            found = await link.run("test", [("ECHO", "whole")])
            await link.close()
            return found

    assert asyncio.run(run()) == [b"whole"]


def test_requests_share_a_stated_number_of_connections(redis_server):
    async def run():
        link = Link(redis_server.url + "?client_name=shared", timeout=2.0, metrics=Metrics(), readers=3)
        for _ in range(3):
            calls = [call("test", [("PING",)], more=n) for n in range(50) for call in (link.run, link.read)]
            await asyncio.gather(*calls)
        with redis_server.client() as client:
            found = [each for each in client.client_list() if each["name"] == "shared"]
        await link.close()
        return len(found)

    assert asyncio.run(run()) == 4


def test_behind_too_much_work_a_call_is_refused_and_redis_is_not_away(redis_server):
    async def run():
        link = Link(redis_server.url, timeout=5.0, metrics=Metrics())
        await link.open()
        bulk = asyncio.create_task(link.run("test", [("PING",)] * MOST))
        await asyncio.sleep(0)
        with pytest.raises(CacheAway, match="wait for Redis already"):
            await link.run("test", [("PING",)])
        beside = await link.read("test", [("PING",)])
        done = await bulk
        after = await link.run("test", [("PING",)])
        await link.close()
        return len(done), beside, after, link.away

    assert asyncio.run(run()) == (MOST, [b"PONG"], [b"PONG"], False)


def test_a_small_call_goes_round_a_large_one(redis_server):
    async def run():
        link = Link(redis_server.url, timeout=0.5, metrics=Metrics())
        await link.read("test", [("PING",)])
        large = asyncio.create_task(link.read("test", [("BLPOP", "link:nobody pushes here", 2)], more=5.0))
        await asyncio.sleep(0)
        small = await link.read("test", [("PING",)])
        first = not large.done()
        await large
        await link.close()
        return small, first

    assert asyncio.run(run()) == ([b"PONG"], True)


def test_a_server_that_loads_its_data_is_away():
    async def run():
        async with parrot(b"%0\r\n", b"-LOADING Redis is loading the dataset in memory\r\n") as url:
            link = Link(url, timeout=0.5, metrics=Metrics())
            with pytest.raises(CacheAway, match="loading"):
                await link.run("test", [("PING",)])
            await link.close()

    asyncio.run(run())


def test_one_that_was_failed_over_is_left_for_the_one_that_the_address_leads_to(caplog):
    async def run():
        with real_redis() as first, real_redis() as second, TemporaryDirectory(prefix="redis-") as folder:
            place = Path(folder) / "redis.sock"
            place.symlink_to(first.url.removeprefix("unix://"))
            link = Link(f"unix://{place}", timeout=2.0, metrics=Metrics())
            await asyncio.gather(
                *(link.read("test", [("PING",)], more=n) for n in range(9))
            )  # all lines are open
            assert await link.run("test", [("SET", "link:over", "1")]) == [b"OK"]
            with first.client() as client:
                client.replicaof("127.0.0.1", 1)  # it stays, and answers
            place.unlink()
            place.symlink_to(second.url.removeprefix("unix://"))
            refused, read = await asyncio.gather(
                link.run("test", [("EVAL", "return redis.call('SET', KEYS[1], 2)", 1, "link:over")]),
                link.read("test", [("GET", "link:over")]),
            )
            assert "READONLY" in str(refused[0])
            assert read == [b"1"]  # what was under way is answered
            assert await link.run("test", [("SET", "link:over", "3")]) == [b"OK"]
            assert await link.read("test", [("GET", "link:over")]) == [b"3"]
            assert not link.away
            with first.client() as client:
                left = [each for each in client.client_list() if each["name"] == "chorus"]
            await link.close()
            return left

    assert asyncio.run(run()) == []
    assert sum("connecting anew" in record.message for record in caplog.records) == 1


def test_one_that_never_writes_is_asked_anew_now_and_then(caplog):
    async def run():
        with real_redis("--replicaof", "127.0.0.1", "1") as server:
            link = Link(server.url, timeout=2.0, metrics=Metrics())
            for _ in range(50):
                await link.run("test", [("SET", "link:never", "1")])
            with server.client() as client:
                connections = client.info("stats")["total_connections_received"]
            await link.close()
            return connections

    assert asyncio.run(run()) < 20
