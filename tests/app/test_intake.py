"""The door of a real server: whatever overload is, here it is that a crowd of candidates waits for the heads."""

import asyncio
import re
from contextlib import asynccontextmanager

import httpx
import pytest
import uvloop
from prometheus_client import generate_latest

from app.main import create_app
from app.server import Server
from app.service import Service
from tests.live import eventually_async, value

CROWD = 1e9
BODY = {"user_id": "gate", "k": 2}


@asynccontextmanager
async def served(settings):
    """A service behind a real socket, and its server."""
    ready, service = asyncio.Event(), Service(settings.model_copy(update={"port": 0}))
    server = Server(create_app(service=service), service.settings, ready.set)
    running = asyncio.create_task(server.serve())
    try:
        await ready.wait()
        yield service, server
    finally:
        server.should_exit = True
        await running


def met(settings, ask):
    """What a crowd meets: the result of a coroutine of the service and a client."""

    async def run():
        async with (
            served(settings) as (service, server),
            httpx.AsyncClient(base_url=server.address) as client,
        ):
            return await ask(service, client)

    return asyncio.run(run())


def test_who_comes_when_too_much_waits_is_told_to_come_again(settings):
    async def ask(service, client):
        service.metrics.candidates_waiting.set(CROWD)
        refused = await client.post("/recommend", json=BODY, headers={"X-Request-Id": "gate-1"})
        service.metrics.candidates_waiting.set(0)
        return refused, await client.post("/recommend", json=BODY), service.metrics

    refused, taken, metrics = met(settings, ask)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")
    assert refused.headers["X-Request-Id"] == refused.json()["request_id"] == "gate-1"
    assert refused.json()["error_type"] == "overloaded"
    assert taken.status_code == 200
    page = generate_latest(metrics).decode()
    assert value(page, 'chorus_queue_duration_seconds_count{line="requests"}') == 1
    assert metrics.rejected.labels("overloaded").value == 1
    assert metrics.requests.labels("/recommend", 429).value == 1


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/health", "/metrics", "/info"])
def test_probes_pass_however_much_waits(settings, path):
    async def ask(service, client):
        service.metrics.candidates_waiting.set(CROWD)
        return await client.get(path)

    assert met(settings, ask).status_code == 200


@pytest.mark.parametrize(
    "head", [{"Connection": "close"}, {"Expect": "100-continue"}, {"Content-Type": "application/x-ndjson"}]
)
def test_refusals_reach_callers_of_every_kind(settings, head):
    async def ask(service, client):
        service.metrics.candidates_waiting.set(CROWD)
        return [await client.post("/recommend/batch", json=BODY, headers=head) for _ in range(2)]

    for answer in met(settings, ask):
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "1")


def test_a_refusal_says_the_same_whoever_writes_it(settings):
    """On a connection that stays as bytes that are made once, on one that ends by the framework."""

    async def ask(service, client):
        service.metrics.candidates_waiting.set(CROWD)
        named = {"X-Request-Id": "a/b=c"}
        stays = await client.post("/v1/recommend?a=b", json=BODY, headers=named)
        ends = await client.post("/recommend", json=BODY, headers={"Connection": "close", **named})
        return stays, ends, await client.post("/recommend", json=BODY), service.metrics

    stays, ends, unnamed, metrics = met(settings, ask)
    assert stays.content == ends.content
    assert stays.headers.keys() == ends.headers.keys() - {"connection"}
    assert len(unnamed.json()["request_id"]) == 32
    for answer in (stays, ends, unnamed):
        assert int(answer.headers["Content-Length"]) == len(answer.content)
        assert answer.headers["X-Model-Version"] == "shop/1"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Request-Id"] == answer.json()["request_id"]
    assert metrics.requests.labels("/recommend", 429).value == 3


def request(name: str) -> bytes:
    body = b'{"user_id": "gate", "k": 1}'
    head = (
        f"POST /recommend HTTP/1.1\r\nHost: x\r\nX-Request-Id: {name}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def test_answers_on_one_connection_keep_the_order_of_their_requests(settings):
    """The first is taken before the crowd has come, and its body ends when the others come, which are refused."""

    async def ask(service, client):
        reader, writer = await asyncio.open_connection(client.base_url.host, client.base_url.port)
        writer.write(request("a")[:-5])
        while not service.metrics.in_progress.value:
            await asyncio.sleep(0.01)
        service.metrics.candidates_waiting.set(CROWD)
        writer.write(request("a")[-5:] + request("b") + request("c"))
        found = b""
        while found.count(b"HTTP/1.1") < 3 or not found.endswith(b"}"):
            found += await reader.read(65_536)
        writer.close()
        await writer.wait_closed()
        return found

    found = met(settings, ask)
    assert re.findall(rb"HTTP/1.1 (\d+)", found) == [b"200", b"429", b"429"]
    assert re.findall(rb"x-request-id: (\w)", found) == [b"a", b"b", b"c"]


def test_a_body_that_is_refused_is_read_and_dropped_however_long(settings):
    async def ask(service, client):
        service.metrics.candidates_waiting.set(CROWD)
        refused = await client.post("/recommend", content=b" " * 3_000_000)
        service.metrics.candidates_waiting.set(0)
        return refused, await client.post("/recommend", json=BODY)

    refused, taken = met(settings, ask)
    assert (refused.status_code, taken.status_code) == (429, 200)


def test_a_refusal_while_draining_ends_the_connection(settings):
    async def ask(service, client):
        service.metrics.candidates_waiting.set(CROWD)
        service.draining = True
        answer = await client.post("/recommend", json=BODY)
        service.draining = False
        return answer

    refused = met(settings, ask)
    assert (refused.status_code, refused.headers["Connection"]) == (429, "close")


def test_refusals_that_nobody_reads_are_not_piled_up(settings):
    hasty = settings.model_copy(update={"receive_seconds": 1.0})

    async def run():
        async with served(hasty) as (service, server):
            service.metrics.candidates_waiting.set(CROWD)
            host, port = server.address.removeprefix("http://").split(":")
            _, writer = await asyncio.open_connection(host, int(port), limit=1_024)
            held = 0
            for _ in range(200):
                writer.write(request("a") * 1_000)
                await asyncio.sleep(0.01)
                held = max([held, *(each.transport.get_write_buffer_size() for each in talks(server))])

            await eventually_async(lambda: nobody(server))  # it is hung up on
            writer.transport.abort()
            return held

    assert asyncio.run(run()) < 1_000_000


async def nobody(server):
    return not talks(server)


def talks(server):
    return list(server.server_state.connections)


def test_who_leaves_with_answers_unread_leaves_no_error_behind(settings, caplog):
    lines = b"{\n" * 20_000
    head = b"POST /recommend/batch HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
    one = head + b"Content-Length: %d\r\n\r\n" % len(lines) + lines

    async def run():
        async with served(settings) as (_, server):
            host, port = server.address.removeprefix("http://").split(":")
            _, writer = await asyncio.open_connection(host, int(port), limit=1_024)
            writer.write(one * 20)
            while not [each for each in talks(server) if each.flow.write_paused and each.pipeline]:
                await asyncio.sleep(0.01)
            [connection] = talks(server)
            connection.transport.abort()
            while connection.tasks or talks(server):
                await asyncio.sleep(0.01)
            writer.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the service has it
        runner.run(run())
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
