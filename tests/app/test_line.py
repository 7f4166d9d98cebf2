import asyncio
import socket

import pytest
import uvloop

from app.address import Address
from app.line import Line
from tests.live import eventually_async

PING = [("PING",)]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def on_loop(request):
    return request.param


def connections(server, name):
    """Numbers of the connections of that name."""
    with server.client() as client:
        return [each["id"] for each in client.client_list() if each["name"] == name]


def test_it_connects_once_however_many_ask_first(on_loop, redis_server):
    async def run():
        line = Line(Address(redis_server.url + "?client_name=first"))
        assert not connections(redis_server, "first")
        replies = await asyncio.gather(*(line.send(PING, 2.0) for _ in range(50)))
        found = connections(redis_server, "first")
        await line.close()
        return replies, found

    replies, found = on_loop(run())
    assert replies == [[b"PONG"]] * 50
    assert len(found) == 1


def test_a_line_that_redis_closed_is_connected_again_when_it_is_needed(on_loop, redis_server):
    async def run():
        told = []
        line = Line(Address(redis_server.url + "?client_name=idle"), told.append)
        await line.send(PING, 2.0)
        with redis_server.client() as client:
            client.client_kill_filter(_id=connections(redis_server, "idle")[0])

        async def noticed() -> bool:
            return told == [None]

        await eventually_async(noticed)
        reply = await line.send(PING, 2.0)
        await line.close()
        return reply

    assert on_loop(run()) == [b"PONG"]


def test_who_waits_for_the_connection_waits_no_longer_than_told(on_loop):
    async def run():
        with socket.create_server(("127.0.0.1", 0)) as hole:
            line = Line(Address(f"redis://127.0.0.1:{hole.getsockname()[1]}"))
            with pytest.raises(TimeoutError):
                await line.send(PING, 0.05)
            await line.close()

    on_loop(run())


def test_dropping_it_fails_those_who_wait_for_the_connection_and_for_replies(on_loop, redis_server):
    async def run():
        with socket.create_server(("127.0.0.1", 0)) as hole:
            opening = Line(Address(f"redis://127.0.0.1:{hole.getsockname()[1]}"))
            open_ = Line(Address(redis_server.url))
            await open_.send(PING, 2.0)
            waiting = [
                asyncio.create_task(opening.send(PING, 5.0)),
                asyncio.create_task(open_.send([("BLPOP", "line:nobody pushes here", 2)], 5.0)),
            ]
            await asyncio.sleep(0.05)
            for line in (opening, open_):
                line.drop(ConnectionError("dropped"))
            found = await asyncio.gather(*waiting, return_exceptions=True)
            for line in (opening, open_):
                await line.close()
            return found

    assert [type(error) for error in on_loop(run())] == [ConnectionError] * 2


def test_a_server_that_will_not_tell_of_changes_is_still_asked(redis_server, caplog):
    with redis_server.client() as client:
        client.execute_command("ACL SETUSER deaf on >secret ~* +@all -client")

    async def run():
        place = redis_server.url.removeprefix("unix://")
        line = Line(Address(f"unix://deaf:secret@{place}"), [].append)
        before = line.tracked
        reply = await line.send(PING, 2.0)
        await line.close()
        return reply, before, line.tracked

    assert asyncio.run(run()) == ([b"PONG"], True, False)
    assert "refused CLIENT TRACKING" in caplog.text
