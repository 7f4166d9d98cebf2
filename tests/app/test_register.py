import asyncio
import json
import math
import time
import uuid

import numpy as np
import pytest

from app import keys
from app.errors import CacheAway, NotStored
from app.link import Link
from app.metrics import Metrics
from app.register import Register, Source
from app.texts import digest
from model_store.manifest import TextField
from tests.app.plain import manifest

WIDTH = 4
SHOES = Source("shoes", {"title": "Trail shoes"}, {"brand": ["acme"]}, {"price": 5.5}, 1e9)


@pytest.fixture
def name():
    return f"shop-{uuid.uuid4().hex}"


@pytest.fixture
def with_register(redis_server, name):
    """Runs work on a register of a catalogue of its own; by another model if it is asked for."""

    def run(work, most=10, url=redis_server.url, fingerprint="f" * 64):
        async def session():
            link = Link(url, timeout=2.0, metrics=Metrics())
            await link.open()
            try:
                return await work(Register(link, manifest(name=name, fingerprint=fingerprint), most))
            finally:
                await link.close()

        return asyncio.run(session())

    return run


def row(value):
    return np.full(WIDTH, value, dtype=np.float32)


async def put(register, *items, value=1.0):
    sources = [item if isinstance(item, Source) else Source(item, {"title": item}) for item in items]
    return await register.put([(source, "text", row(value)) for source in sources])


def test_what_was_put_comes_back_whole(with_register):
    async def work(register):
        [version] = await put(register, SHOES, value=2.5)
        [change] = await register.since(0, 10)
        assert (change.item_id, change.version, change.source) == ("shoes", version, SHOES)
        assert change.row.tolist() == [2.5] * WIDTH
        assert change.digest == digest("text")

    with_register(work)


def test_versions_grow_and_are_times(with_register):
    async def work(register):
        before = time.time()
        versions = await put(register, "a", "b") + await register.delete(["a"]) + await put(register, "b")
        assert versions == sorted(set(versions))
        assert all(before - 60 < version / 1e6 < time.time() + 60 for version in versions)

    with_register(work)


def test_only_the_last_change_of_an_item_is_told(with_register):
    async def work(register):
        [old] = await put(register, "a")
        await put(register, "b")
        [new] = await put(register, "a")
        told = await register.since(0, 10)
        assert [change.item_id for change in told] == ["b", "a"]
        assert [change.item_id for change in await register.since(old, 10)] == ["b", "a"]
        assert await register.since(new, 10) == []

    with_register(work)


def test_a_follower_reads_on_from_where_it_stopped(with_register):
    async def work(register):
        await put(register, *"abcde")
        seen, version = [], 0
        while page := await register.since(version, 2):
            assert len(page) <= 2
            seen += [change.item_id for change in page]
            version = page[-1].version
        assert seen == list("abcde")

    with_register(work)


def test_a_deleted_item_is_told_without_a_source(with_register, redis_server, name):
    async def work(register):
        await put(register, "a")
        await register.delete(["a", "never put"])
        told = await register.since(0, 10)
        assert [(change.item_id, change.source, change.row) for change in told] == [
            ("a", None, None), ("never put", None, None)
        ]  # fmt: skip

    with_register(work)
    with redis_server.client() as client:
        assert client.hlen(keys.items(name, keys.SOURCES)) == 0
        assert client.hlen(keys.rows(name, "f" * 16)) == 0


def test_an_item_too_many_is_refused_and_a_replacement_is_not(with_register):
    async def work(register):
        assert [bool(version) for version in await put(register, "a", "b", "c")] == [True, True, False]
        assert all(await put(register, "a"))
        await register.delete(["b"])
        assert all(await put(register, "c"))
        assert [change.item_id for change in await register.since(0, 10)] == ["a", "b", "c"]

    with_register(work, most=2)


def test_another_model_reads_the_source_and_not_the_row(with_register):
    with_register(lambda register: put(register, SHOES))

    async def other(register):
        [change] = await register.since(0, 10)
        assert (change.source, change.row) == (SHOES, None)
        await register.keep({"shoes": ("other text", row(7.0))})
        [change] = await register.since(0, 10)
        assert (change.row.tolist(), change.digest) == ([7.0] * WIDTH, digest("other text"))
        await register.keep({})

    with_register(other, fingerprint="e" * 64)


def test_a_damaged_row_is_absent_and_a_damaged_source_a_delete(with_register, redis_server, name):
    async def work(register):
        await put(register, "a", "b", "c")
        with redis_server.client() as client:
            client.hset(keys.rows(name, "f" * 16), "a", b"cut short")
            client.hset(keys.items(name, keys.SOURCES), "b", b"{not json")
            client.hset(keys.items(name, keys.SOURCES), "c", json.dumps({"unknown": 1}))
        first, *rest = await register.since(0, 10)
        assert (first.source.item_id, first.row) == ("a", None)
        assert [change.source for change in rest] == [None, None]

    with_register(work)


def test_keys_of_another_type_are_said_to_be_wrong(with_register, redis_server, name):
    with redis_server.client() as client:
        client.set(keys.items(name, keys.LOG), "not a log")

    async def work(register):
        with pytest.raises(NotStored, match="refused"):
            await put(register, "a")
        with pytest.raises(CacheAway, match="does not tell"):
            await register.since(0, 10)

    with_register(work)


def test_without_redis_nothing_is_stored(with_register):
    async def work(register):
        with pytest.raises(NotStored, match="Redis is away"):
            await put(register, "a")
        with pytest.raises(NotStored, match="Redis is away"):
            await register.delete(["a"])
        with pytest.raises(CacheAway):
            await register.since(0, 10)

    with_register(work, url=None)


def test_a_source_is_what_a_bundle_reads_of_it():
    of = manifest(item_text=(TextField(name="title"),), attributes=("brand",))
    source = Source("i", {"title": "Shoes", "other": "x"}, {"brand": ["acme"], "gone": ["y"]})
    item = source.described(of)
    assert (item.text, item.attributes) == ("Shoes", {"brand": ("acme",)})
    assert math.isnan(item.published)
    assert SHOES.described(of).published == 1e9
    assert Source("i", {"other": "x"}).described(of).text == ""
