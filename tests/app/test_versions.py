"""Versions that take each other's place while requests are answered, and those that are refused."""

import asyncio
import gc
import weakref
from contextlib import asynccontextmanager

import pytest

from app.errors import Refused, Unknown
from app.labels import Wish
from app.settings import Settings
from benchmarks.chaos.harms import HARMS
from model_store.bundle import Bundle
from tests.admin import HEADERS, keys
from tests.live import real_redis, serving, value
from tests.shelves import publish

BODY = {"query": "a red mug", "k": 3}


@pytest.fixture
def own(tmp_path, bundle, redis_server):
    """A shelf of one's own with one version."""
    shelf = tmp_path / "shelf"
    publish(bundle, shelf)
    return Settings(
        store=shelf, redis_url=redis_server.url, redis_timeout_ms=2_000, api_keys_file=keys(tmp_path)
    )


@asynccontextmanager
async def opened(settings):
    """A service, and a client who may do anything."""
    async with serving(settings) as (client, service):
        client.headers.update(HEADERS)
        yield client, service


@pytest.mark.parametrize("kind", HARMS)
def test_a_bad_version_is_refused_with_the_reason_while_the_old_one_serves(kind, own, bundle):
    harm = HARMS[kind]
    version = publish(bundle, own.store, harm.before, **harm.fields)
    if harm.after:
        harm.after(own.store / Bundle.open(bundle).manifest.name / str(version))

    async def run():
        async with opened(own.model_copy(update={"version": 1})) as (client, service):
            asked = asyncio.create_task(client.post("/admin/versions", json={"version": version}))
            answers = []
            while not asked.done():
                answers.append(await client.post("/recommend", json=BODY))
            answers.append(await client.post("/recommend", json=BODY))
            assert {(each.status_code, each.json()["model"]["version"]) for each in answers} == {(200, 1)}
            answer = await asked
            assert (answer.status_code, answer.json()["error_type"]) == (409, "refused")
            assert harm.reason in answer.json()["error"]
            for path in ("/health", "/info", "/admin/versions"):
                told = (await client.get(path)).json()["refused"]
                assert (told["version"], harm.reason in told["error"]) == (version, True)
            text = (await client.get("/metrics")).text
            assert value(text, 'chorus_model_load_total{result="refused"}') == 1
            assert "chorus_model_refused_total{error=" in text
            assert (await client.get("/health/ready")).status_code == 200
            assert (await service.versions.shown())["loading"] is None

    asyncio.run(run())


def test_requests_under_way_finish_on_the_version_that_they_began_with(own, bundle):
    publish(bundle, own.store)

    async def run():
        async with opened(own.model_copy(update={"version": 1})) as (client, service):
            asked = asyncio.create_task(client.post("/admin/versions", json={"version": "newest"}))
            served = []
            while not asked.done():
                answer = await client.post("/recommend", json=BODY)
                served.append((answer.status_code, answer.json()["model"]["version"]))
            assert (await asked).json()["served"] == 2
            held = service.model
            answer = (await client.post("/recommend", json=BODY)).json()
            assert answer["model"]["version"] == 2
            assert set(served) <= {(200, 1), (200, 2)}
            assert served == sorted(served)  # once the new one answers, the old one never does again
            assert held.manifest.version == 2
            text = (await client.get("/metrics")).text
            gauges = [line for line in text.splitlines() if line.startswith("chorus_model_info{")]
            assert {line.rpartition("version=")[2][1]: line[-3:] for line in gauges} == {
                "1": "0.0",
                "2": "1.0",
            }

    asyncio.run(run())


def test_a_roll_back_serves_the_version_before_and_loads_nothing(own, bundle):
    publish(bundle, own.store)

    async def run():
        async with opened(own.model_copy(update={"version": 1})) as (client, service):
            nowhere = await client.post("/admin/rollback")
            assert (nowhere.status_code, "no other version" in nowhere.json()["error"]) == (409, True)
            first = service.model
            await service.take(Wish(version=2))
            loads = 'chorus_model_load_total{result="ready"}'
            before = value((await client.get("/metrics")).text, loads)
            back = (await client.post("/admin/rollback")).json()
            assert (back["served"], back["previous"]) == (1, 2)
            assert service.model is first
            assert (await client.post("/recommend", json=BODY)).json()["model"]["version"] == 1
            assert value((await client.get("/metrics")).text, loads) == before
            again = (await client.post("/admin/rollback")).json()
            assert (again["served"], again["previous"]) == (2, 1)

    asyncio.run(run())


def test_a_version_that_is_let_go_leaves_nothing_behind_once_its_last_request_is_answered(own, bundle):
    for _ in range(2):
        publish(bundle, own.store)

    async def run():
        async with opened(own.model_copy(update={"version": 1})) as (_, service):
            held = service.model  # by a request that is under way
            graphs, threads = weakref.ref(held.engine), held.pools.texts._threads
            listeners = len(service.redis.link._listeners)
            gc.disable()  # what is let go is gone at once, without a search for cycles
            try:
                for version in (2, 3):
                    await service.take(Wish(version=version))
                assert all(thread.is_alive() for thread in threads)
                del held
                for thread in threads:
                    await asyncio.to_thread(thread.join, 10)
                await asyncio.sleep(0.1)
                assert graphs() is None
                assert len(service.redis.link._listeners) == listeners + 1  # the one before is held
            finally:
                gc.enable()

    asyncio.run(run())


def test_the_version_that_serves_already_is_served_on(own):
    async def run():
        async with opened(own) as (client, service):
            before = service.model
            answer = await client.post("/admin/versions", json={"version": "newest"})
            assert (answer.json()["served"], answer.json()["previous"]) == (1, None)
            assert service.model is before

    asyncio.run(run())


def test_a_version_that_is_not_on_the_shelf_is_not_found(own):
    async def run():
        async with opened(own) as (client, service):
            answer = await client.post("/admin/versions", json={"version": 9})
            assert (answer.status_code, "has no version 9" in answer.json()["error"]) == (404, True)
            with pytest.raises(Unknown):
                await service.take(Wish(version=9))

    asyncio.run(run())


def test_two_wishes_at_once_do_not_both_come_true(own, bundle):
    for _ in range(2):
        publish(bundle, own.store)

    async def run():
        async with opened(own.model_copy(update={"version": 1})) as (_, service):
            first = asyncio.create_task(service.take(Wish(version=2)))
            await asyncio.sleep(0)
            with pytest.raises(Refused, match="is being loaded"):
                await service.take(Wish(version=3))
            await first
            assert service.model.manifest.version == 2

    asyncio.run(run())


def test_the_new_version_knows_the_items_put_and_deleted_at_runtime_before_it_answers(own, bundle):
    publish(bundle, own.store)
    gone = Bundle.open(bundle).items.ids[0]

    async def run():
        with real_redis() as redis:
            here = own.model_copy(update={"version": 1, "redis_url": redis.url})
            async with opened(here) as (client, service):
                item = {"item_id": "late", "text": {"title": "a late mug"}}
                assert (await client.put("/items", json={"items": [item]})).status_code == 200
                assert (await client.delete(f"/items/{gone}")).status_code == 200
                await service.take(Wish(version=2))
                assert service.model.catalogue.places(["late", gone]).tolist() == [
                    len(service.model.bundle.items), -1,
                ]  # fmt: skip
                other = item | {"item_id": "later"}
                await client.put("/items", json={"items": [other]})
                await service.take(Wish(version="before"))
                await service.model.changes.follow()
                assert service.model.catalogue.row("later") is not None

    asyncio.run(run())


def test_versions_share_a_tokenizer_that_is_the_same_and_no_other(own, bundle):
    def spaced(draft):
        (draft / "tokenizer.json").write_bytes((draft / "tokenizer.json").read_bytes() + b" ")

    publish(bundle, own.store)
    publish(bundle, own.store, spaced)

    async def run():
        async with opened(own.model_copy(update={"version": 1})) as (_, service):
            used = [service.model.engine.tokenizer]
            for version in (2, 3):
                await service.take(Wish(version=version))
                used.append(service.model.engine.tokenizer)
            return used

    first, same, other = asyncio.run(run())
    assert same is first
    assert other is not first
