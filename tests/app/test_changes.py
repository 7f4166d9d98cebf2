"""Changes of a catalogue without HTTP: what is encoded, and in which order changes are taken."""

import asyncio
import time
import uuid
from contextlib import asynccontextmanager

import pytest

from app import keys
from app.link import Link
from app.metrics import Metrics
from app.model import build
from app.register import Register, Source
from model_store.bundle import Bundle


@pytest.fixture
def name():
    """Of a catalogue that no other test changes."""
    return f"shop-{uuid.uuid4().hex}"


@pytest.fixture
def opened(settings, name, bundle):
    """Opens a model whose changes are of that catalogue; nothing of it is encoded before."""
    manifest = Bundle.open(bundle).manifest.model_copy(update={"name": name})

    @asynccontextmanager
    async def open_(**fields):
        metrics = Metrics()
        link = Link(settings.redis_url, timeout=2.0, metrics=metrics)
        await link.open()
        model = await build(settings, link, metrics)
        changes = model.changes
        changes._register = Register(link, manifest.model_copy(update=fields))
        try:
            yield model, metrics.encodes.labels("text")
        finally:
            await model.state.settle()
            model.close()
            await link.close()

    return open_


def source(item, title="red shoes", **fields):
    return Source(item, {"title": title}, **fields)


def known(model, *ids):
    return [row >= 0 for row in model.catalogue.places(ids).tolist()]


def test_a_start_encodes_nothing_that_was_encoded_by_the_same_model(opened):
    async def work():
        async with opened() as (model, encodes):
            assert await model.changes.put([source("a"), source("b", "blue shoes")]) == [None, None]
            await model.changes.delete(["b"])
            assert encodes.value == 2
            vector = model.catalogue.vectors(model.catalogue.places(["a"]))
        async with opened() as (model, encodes):
            await model.changes.start()
            assert known(model, "a", "b") == [True, False]
            assert encodes.value == 0
            assert (model.catalogue.vectors(model.catalogue.places(["a"])) == vector).all()

    asyncio.run(work())


def test_another_model_encodes_at_its_first_start_and_remembers(opened):
    async def work():
        async with opened() as (model, _):
            await model.changes.put([source("a"), source("b", "blue shoes"), source("c", "gone")])
            await model.changes.delete(["c"])
        for expected in (2, 0):
            async with opened(fingerprint="e" * 64) as (model, encodes):
                await model.changes.start()
                assert known(model, "a", "b", "c") == [True, True, False]
                assert encodes.value == expected

    asyncio.run(work())


def test_more_changes_than_are_read_at_once_are_all_followed(opened):
    async def work():
        async with opened() as (one, _), opened() as (other, encodes):
            ids = [f"i{n}" for n in range(450)]
            for start in range(0, 450, 150):
                await one.changes.put([source(item, "one text") for item in ids[start : start + 150]])
            await one.changes.delete(ids[:200])
            await other.changes.follow()
            assert other.catalogue.runtime == 250
            assert known(other, ids[0], ids[-1]) == [False, True]
            assert encodes.value == 0

    asyncio.run(work())


def test_a_change_that_was_overtaken_changes_nothing(opened):
    async def work():
        async with opened() as (model, _):
            await model.changes.put([source("a")])
            [late] = await model.changes._register.since(0, 10)  # read, and not applied yet
            await model.changes.delete(["a"])
            model.changes._apply(late)
            assert known(model, "a") == [False]
            await model.changes.follow()
            assert known(model, "a") == [False]

    asyncio.run(work())


def test_a_delete_wins_over_a_put_that_waits_to_be_encoded(opened):
    async def work():
        async with opened() as (one, _), opened(fingerprint="e" * 64) as (other, _):
            await one.changes.put([source("a"), source("b")])
            await other.changes.follow()
            assert known(other, "a", "b") == [False, False]  # both wait
            await one.changes.delete(["a"])
            await other.changes.follow()
            await other.changes.settle()
            assert known(other, "a", "b") == [False, True]

    asyncio.run(work())


def test_an_item_that_a_bundle_reads_nothing_of_is_left_out(opened):
    async def work():
        async with opened() as (model, _):
            await model.changes._register.put([(Source("a", {"colour": "red"}), "red", _row(model))])
            await model.changes.start()
            assert known(model, "a") == [False]

    asyncio.run(work())


def _row(model):
    return model.engine.rows([model.engine.tokenizer.encode("red")])[0]


def test_one_call_may_name_an_item_twice_and_the_last_counts(opened):
    async def work():
        async with opened() as (model, _):
            await model.changes.put([source("a", published=1.0), source("a", "blue shoes", published=2.0)])
            assert model.catalogue.runtime == 1
            assert model.catalogue.stored(model.catalogue.places(["a"])).published[0] == 2.0

    asyncio.run(work())


def test_the_items_of_a_call_never_fill_the_line_of_texts(opened):
    async def work():
        async with opened() as (model, encodes):
            items = [source(f"i{n}", f"shoes number {n}") for n in range(60)]
            put = asyncio.create_task(model.changes.put(items))
            longest = 0.0
            while not put.done():
                longest = max(longest, model.pools.texts._waiting.value)
                await asyncio.sleep(0)
            assert await put == [None] * len(items)
            assert encodes.value == len(items)
            assert longest <= model.pools.texts.abreast
            assert all(known(model, *(f"i{n}" for n in range(60))))

    asyncio.run(work())


def test_changes_count_where_redis_has_lost_its_data_and_its_clock_has_gone_back(opened, redis_server, name):
    ahead, log = int((time.time() + 86_400) * 1e6), keys.items(name, keys.LOG)

    async def work():
        async with opened() as (one, _), opened() as (other, _):
            await one.changes.put([source("a")])
            with redis_server.client() as redis:
                redis.zadd(log, {"a": ahead})  # as if it had been put while the clock was a day ahead
                for model in (one, other):
                    await model.changes.follow()
                redis.delete(log, keys.items(name, keys.SOURCES))
            assert known(other, "a") == [True]
            assert await one.changes.delete(["a"]) == [True]
            assert await one.changes.put([source("b", "blue shoes")]) == [None]
            assert known(one, "a", "b") == [False, True]
            await other.changes.follow()
            assert known(other, "a", "b") == [False, True]

    asyncio.run(work())
