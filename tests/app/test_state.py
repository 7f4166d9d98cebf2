import asyncio

import numpy as np
import pytest

from app import keys, shown
from app.errors import NotStored
from app.ledger import SEEN, StoredEvent
from app.link import Link
from app.metrics import Metrics
from app.settings import Settings
from app.state import AT_ONCE, State, UserState
from tests.app import plain


@pytest.fixture(scope="session")
def manifest():
    return plain.manifest()


@pytest.fixture(scope="session")
def layout(manifest):
    return plain.feature_set(manifest).layout


@pytest.fixture
def with_state(manifest, redis_server):
    """Runs work with a State on the real Redis; a manifest may be given in place of the bundle's."""

    def run(work, other=manifest, url=redis_server.url, timeout=2.0):
        async def session():
            link = Link(url, timeout=timeout, metrics=Metrics())
            try:
                return await work(State(link, Settings(), other, plain.feature_set(other)))
            finally:
                await link.close()

        return asyncio.run(session())

    return run


def events(user: str, *times: float, event_id: str | None = None) -> list[StoredEvent]:
    return [
        StoredEvent(items=(f"i{n}",), event="click", time=time, user=user, event_id=event_id)
        for n, time in enumerate(times)
    ]


def test_events_come_back_oldest_first_trimmed_to_twice_the_history(with_state, manifest):
    keep = 2 * manifest.history_limit

    async def work(state):
        await state.push(events("state:trim", *map(float, range(keep + 5))))
        return await state.fetch(["state:trim"], [])

    history = with_state(work).users["state:trim"].history
    assert [time for _, _, time in history] == [float(n) for n in range(5, keep + 5)]


def test_an_event_id_is_taken_once(with_state):
    async def work(state):
        first = await state.push(events("state:once", 1.0, event_id="e1"))
        again = await state.push(events("state:once", 1.0, event_id="e1"))
        other = await state.push(events("state:once", 2.0, event_id="e2"))
        found = await state.fetch(["state:once"], [])
        return first, again, other, len(found.users["state:once"].history)

    assert with_state(work) == ([0], [SEEN], [0], 2)


def test_vectors_come_back_bit_for_bit(with_state, manifest):
    vector = np.random.default_rng(1).normal(size=manifest.dimension).astype(np.float32)
    width = manifest.dimension + sum(task.width for task in manifest.text_tasks)
    row = np.random.default_rng(2).normal(size=width).astype(np.float32)

    async def work(state):
        state.keep_user("state:v", b"d" * 16, vector)
        state.keep_text(b"t" * 16, row)
        await state.settle()
        return await state.fetch(["state:v"], [b"t" * 16, b"x" * 16])

    found = with_state(work)
    assert found.users["state:v"].digest == b"d" * 16
    assert np.array_equal(found.users["state:v"].vector, vector)
    assert list(found.texts) == [b"t" * 16]
    assert np.array_equal(found.texts[b"t" * 16], row)


def test_vectors_of_one_moment_are_stored_in_one_trip(with_state, manifest):
    async def work(state):
        for number in range(5):
            state.keep_text(bytes([number]) * 16, np.ones(3, dtype=np.float32))
        state.keep_user("state:w", b"d" * 16, np.ones(manifest.dimension, dtype=np.float32))
        pending = len(state._writes)
        await state.settle()
        return pending, await state.fetch(["state:w"], [bytes([number]) * 16 for number in range(5)])

    trips, found = with_state(work)
    assert trips == 1
    assert found.users["state:w"].digest == b"d" * 16


def test_another_fingerprint_never_reads_the_vectors(with_state, manifest):
    other = manifest.model_copy(update={"fingerprint": "0" * 64})
    vector = np.ones(manifest.dimension, dtype=np.float32)

    async def keep(state):
        state.keep_user("state:fp", b"d" * 16, vector)
        await state.settle()

    async def fetch(state):
        return (await state.fetch(["state:fp"], [])).users["state:fp"].vector

    with_state(keep)
    assert with_state(fetch) is not None
    assert with_state(fetch, other) is None


def test_every_key_lives_for_a_time_and_belongs_to_its_user(with_state, manifest, redis_server):
    async def work(state):
        await state.push(events("state:ttl", 1.0, event_id="e"))
        whole = UserState("state:ttl2", [("i1", "click", 1.0)], {"city": "Odense"}, [(1.0, ("i1",))])
        await state.replace([whole])
        state.keep_user("state:ttl", b"d" * 16, np.ones(manifest.dimension, dtype=np.float32))
        await state.settle()

    with_state(work)
    with redis_server.client() as client:
        found = client.keys("chorus:{u:state:ttl*")
        assert len(found) == 6
        assert all(client.ttl(key) > 0 for key in found)


@pytest.mark.parametrize(
    "value", [b"", b"no json", b'{"a": 1}', b"[1,2,3]", b'["i1","click",NaN]', b"\xff\xfe", b"[" * 5_000]
)
def test_a_damaged_event_is_left_out(with_state, redis_server, value):
    key = "chorus:{u:state:bad}:history"
    with redis_server.client() as client:
        client.delete(key)
        client.rpush(key, b'["i2","click",2.0]', value, b'["i1","click",1]')

    async def work(state):
        return (await state.fetch(["state:bad"], [])).users["state:bad"].history

    assert with_state(work) == (("i1", "click", 1.0), ("i2", "click", 2.0))


def test_keys_of_the_wrong_type_read_as_absent_and_an_event_heals_them(with_state, redis_server, manifest):
    prefix, model = "chorus:{u:state:type}:", manifest.fingerprint[:16]
    with redis_server.client() as client:
        client.delete(*(prefix + name for name in ("history", "profile", f"vector:{model}")))
        client.set(prefix + "history", "text")
        client.rpush(prefix + "profile", "x")
        client.set(prefix + f"vector:{model}", b"\0" * 7)

    async def work(state):
        before = (await state.fetch(["state:type"], [])).users["state:type"]
        await state.push(events("state:type", 5.0))
        return before, (await state.fetch(["state:type"], [])).users["state:type"]

    before, after = with_state(work)
    assert (before.history, before.profile, before.vector) == ((), {}, None)
    assert after.history == (("i0", "click", 5.0),)


def test_replacing_forgets_what_was_there(with_state):
    async def work(state):
        await state.push(events("state:new", 1.0, 2.0))
        await state.push([StoredEvent(items=("i1", "i2"), event="view", time=1.0, user="state:new")])
        lists = [(2.0, ("i7", "i8")), (5.0, ("i9",))]
        await state.replace([UserState("state:new", [("i9", "click", 3.0)], {"city": "Odense"}, lists)])
        return await state.fetch(["state:new"], shown=["state:new"])

    found = with_state(work)
    assert found.users["state:new"].history == (("i9", "click", 3.0),)
    assert found.users["state:new"].profile == {"city": "Odense"}
    assert found.shown["state:new"] == [shown.pack(5.0, ["i9"]), shown.pack(2.0, ["i7", "i8"])]


def test_without_redis_reading_is_a_miss_and_storing_an_error(with_state):
    async def work(state):
        found = await state.fetch(["anyone"], [])
        state.keep_text(b"t" * 16, np.ones(3, dtype=np.float32))
        with pytest.raises(NotStored, match="send the events again"):
            await state.push(events("anyone", 1.0))
        return found

    found = with_state(work, url=None)
    assert found.away
    assert not found.users


def test_nothing_asked_is_no_round_trip(with_state):
    async def work(state):
        return await state.fetch([], [])

    assert not with_state(work, url=None).away


def test_records_come_with_the_rest_in_one_trip(with_state, layout, redis_server):
    async def work(state):
        await state.push([StoredEvent(items=("state:r1",), event="click", time=100.0)])
        with redis_server.client() as client:
            client.config_resetstat()
        found = await state.fetch(["anyone"], [b"t" * 16], shown=["anyone"], items=["state:r0", "state:r1"])
        with redis_server.client() as client:
            return found, {name: told["calls"] for name, told in client.info("commandstats").items()}

    found, calls = with_state(work)
    live = found.live
    told = layout.read(live.of(["state:r1", "state:r0"]), np.array([101.0]))
    assert told.counts[:, layout.events.index("click"), 0].tolist() == [1, 0]
    assert live.began is not None
    assert (calls["cmdstat_mget"], calls["cmdstat_lrange"], calls["cmdstat_get"]) == (1, 2, 4)


def test_more_records_than_fit_one_command_come_in_order(with_state, layout):
    items = [f"state:many:{n}" for n in range(AT_ONCE + 3)]

    async def work(state):
        await state.push([StoredEvent(items=(items[-1],), event="click", time=100.0)])
        return (await state.fetch(items=items)).live

    counts = layout.read(with_state(work).records, np.array([101.0])).counts
    assert len(counts) == len(items)
    assert (counts[-1].max(), counts[:-1].max()) == (1, 0)


@pytest.mark.parametrize("value", [b"short", b"x" * 10_000, None])
def test_a_damaged_record_reads_as_absent(with_state, layout, redis_server, value):
    key = keys.record(layout.digest, "state:bad")
    with redis_server.client() as client:
        client.delete(key)
        client.rpush(key, "x") if value is None else client.set(key, value)

    async def work(state):
        return (await state.fetch(items=["state:bad"])).live

    told = layout.read(with_state(work).records, np.array([101.0]))
    assert told.counts.max() == 0
    assert np.isnan(told.last).all()


@pytest.mark.parametrize("value", [b"yesterday", b"nan", b"-5", b"1e300", None])
def test_a_damaged_beginning_is_none(with_state, manifest, redis_server, value):
    other = plain.manifest(plain.features(use=("count:click",), windows=("2h",)))
    key = keys.began(plain.feature_set(other).layout.digest)
    with redis_server.client() as client:
        client.delete(key)
        client.rpush(key, "x") if value is None else client.set(key, value)

    async def work(state):
        return (await state.fetch(items=["i"])).live.began

    assert with_state(work, other) is None


def test_lists_of_the_wrong_type_read_as_none_shown(with_state, redis_server):
    with redis_server.client() as client:
        client.set(keys.user("state:lists", keys.SHOWN), "text")

    async def work(state):
        return (await state.fetch(shown=["state:lists"])).shown

    assert with_state(work) == {}


def test_a_bulk_that_takes_longer_than_the_timeout_is_no_redis_that_is_away(with_state):
    lists = [
        StoredEvent(items=tuple(f"state:{n}:{m}" for m in range(1_000)), event="view", time=100.0)
        for n in range(30)
    ]

    async def work(state):
        return await state.push(lists)

    assert with_state(work, timeout=0.15) == [0] * 30
