"""Events written by the script against Layout.count, on a real Redis."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import count

import numpy as np
import pytest
import redis
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from app import keys
from app.ledger import SEEN, TAKE, Ledger, StoredEvent
from app.settings import Settings
from model_store.counters import MEMORY, SLOTS
from tests.app.plain import feature_set, features, manifest

NOW = 1_795_348_800.0
PLAIN = manifest()
LAYOUT = feature_set(PLAIN).layout
LEDGER = Ledger(PLAIN, feature_set(PLAIN), Settings())
names = (f"ledger:{number}" for number in count())


@pytest.fixture(scope="session")
def client(redis_server):
    with redis_server.client() as client:
        yield client


def take(client, *events, ledger=LEDGER):
    with client.pipeline(transaction=False) as pipeline:
        for command in ledger.commands(events):
            pipeline.execute_command(*command)
        return pipeline.execute()


def event(item, name="click", time=NOW, **fields):
    return StoredEvent(
        items=(item,) if isinstance(item, str) else tuple(item), event=name, time=time, **fields
    )


def record(client, item, layout=LAYOUT):
    return np.frombuffer(client.get(keys.record(layout.digest, item)), dtype=layout.dtype)


def same(first, second):
    return all(
        np.array_equal(getattr(first, part), getattr(second, part), equal_nan=True)
        for part in ("counts", "last", "first", "latest")
    )


happened = st.tuples(
    st.sampled_from(LAYOUT.events),
    st.one_of(
        st.floats(NOW - 2 * 86_400, NOW), st.floats(NOW - 3_600, NOW), st.sampled_from([NOW - 900, NOW - 75])
    ),
)


@limits(max_examples=60)
@given(
    st.lists(happened, min_size=1, max_size=40),
    st.lists(st.floats(NOW - 3 * 86_400, NOW + 86_400), max_size=5),
)
def test_events_in_any_order_leave_the_record_that_counting_the_log_leaves(client, events, moments):
    item = next(names)
    take(client, *(event(item, name, time) for name, time in events))
    kinds = np.array([LAYOUT.events.index(name) for name, _ in events])
    times = np.array([time for _, time in events])
    counted = LAYOUT.count(1, np.zeros(len(events), dtype=np.int64), kinds, times)
    live = record(client, item)
    for now in [NOW, *moments]:
        assert same(LAYOUT.read(live, np.array([now])), LAYOUT.read(counted, np.array([now])))


@limits(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-1e9, 1e9)), min_size=1, max_size=12))
def test_values_in_any_order_leave_the_newest_of_equals_the_last_that_came(client, told):
    item = next(names)
    take(client, *(event(item, "", NOW + second, values={"price": value}) for second, value in told))
    expected = LAYOUT.blank(1)
    seconds, values = (np.array(column, dtype=np.float64) for column in zip(*told, strict=True))
    rows = np.zeros(len(told), dtype=np.int64)
    LAYOUT.remember(expected, "price", rows, times=NOW + seconds, values=values)
    assert same(LAYOUT.read(record(client, item), np.array([NOW])), LAYOUT.read(expected, np.array([NOW])))


def write(path, item, number):
    with redis.Redis(unix_socket_path=path) as client:
        for second in range(200):
            take(client, event(item, "click", NOW - 60 * second, event_id=f"{item}:{number}:{second}"))


@pytest.mark.parametrize("pool", ["threads", "processes"])
def test_writers_side_by_side_lose_no_count(client, redis_server, pool):
    item, path = next(names), redis_server.url.removeprefix("unix://")
    spawn = multiprocessing.get_context("spawn")
    pools = {"threads": ThreadPoolExecutor, "processes": lambda n: ProcessPoolExecutor(n, mp_context=spawn)}
    with pools[pool](2) as writers:
        list(writers.map(write, [path] * 2, [item] * 2, range(2)))
    counts = LAYOUT.read(record(client, item), np.array([NOW + 1])).counts[0, LAYOUT.events.index("click")]
    assert counts[2] == 400


def test_an_event_id_counts_once(client):
    item = next(names)
    retried = event(item, user="ledger:once", event_id="e1", values={"price": 2.0})
    assert take(client, retried, retried) == [0, SEEN]
    assert take(client, retried) == [SEEN]
    assert LAYOUT.read(record(client, item), np.array([NOW + 1])).counts.max() == 1
    assert client.llen(keys.user("ledger:once", keys.HISTORY)) == 1


def test_nobodys_event_id_counts_once_too(client):
    item = next(names)
    assert take(client, event(item, event_id=item)) == [0]
    assert take(client, event(item, event_id=item)) == [SEEN]
    assert client.ttl(keys.event("", item)) > 0


def test_a_late_event_is_dropped_only_where_no_window_holds_it(client):
    item, click = next(names), LAYOUT.events.index("click")
    assert take(client, event(item, time=NOW), event(item, time=NOW - 3 * 3_600)) == [0, 0]
    told = LAYOUT.read(record(client, item), np.array([NOW + 1]))
    assert told.counts[0, click].tolist() == [1, 1, 2]
    assert take(client, event(item, time=NOW - 40 * 86_400)) == [1]
    told = LAYOUT.read(record(client, item), np.array([NOW + 1]))
    assert told.counts[0, click].tolist() == [1, 1, 2]
    assert told.first[0] == NOW - 40 * 86_400


def test_each_item_of_a_list_is_counted_and_the_list_kept_once(client):
    items = [next(names) for _ in range(3)]
    assert take(client, event(items, "view", user="ledger:list")) == [0]
    view = LAYOUT.events.index("view")
    for item in items:
        assert LAYOUT.read(record(client, item), np.array([NOW + 1])).counts[0, view, 0] == 1
    assert client.llen(keys.user("ledger:list", keys.SHOWN)) == 1
    assert not client.exists(keys.user("ledger:list", keys.HISTORY))


def test_what_nobody_did_is_counted_and_in_no_history(client):
    item = next(names)
    take(client, event(item, "view"), event(item, "click"))
    assert record(client, item)["first"][0] == NOW
    assert not client.keys("chorus:{u:}:history") + client.keys("chorus:{u:}:shown")


def test_a_history_event_that_no_feature_counts_makes_no_record(client):
    item = next(names)
    take(client, event(item, "like", user="ledger:like"))
    assert client.llen(keys.user("ledger:like", keys.HISTORY)) == 1
    assert not client.exists(keys.record(LAYOUT.digest, item))


def test_counting_began_with_the_first_counted_event(client):
    layout_of = manifest(features(use=("count:click:1h",), windows=("1h",)))
    chosen = feature_set(layout_of)
    ledger, began = Ledger(layout_of, chosen, Settings()), keys.began(chosen.layout.digest)
    client.delete(began)
    take(client, event("x", "like", user="ledger:began"), ledger=ledger)
    assert client.get(began) is None
    take(client, event("x", time=NOW), event("x", time=NOW - 5), ledger=ledger)
    assert float(client.get(began)) == NOW
    client.delete(began)
    client.lpush(began, "damaged")
    take(client, event("x", time=NOW + 7), ledger=ledger)
    assert float(client.get(began)) == NOW + 7


def test_the_beginning_is_touched_once_an_hour_not_at_every_event(client):
    began = keys.began(LAYOUT.digest)
    take(client, event("x"))
    for left, touched in ((client.ttl(began) - 3_000, False), (client.ttl(began) - 4_000, True)):
        client.expire(began, left)
        take(client, event("x"))
        assert (client.ttl(began) > left) == touched


@pytest.mark.parametrize("harm", ["short", "list"])
def test_a_damaged_record_is_begun_anew(client, harm):
    item = next(names)
    key = keys.record(LAYOUT.digest, item)
    client.set(key, b"short") if harm == "short" else client.rpush(key, "x")
    user = f"ledger:{harm}"
    client.set(keys.user(user, keys.SHOWN), "no list")
    assert take(client, event(item, "view", user=user)) == [0]
    assert LAYOUT.read(record(client, item), np.array([NOW + 1])).counts.max() == 1
    assert client.llen(keys.user(user, keys.SHOWN)) == 1


def test_every_key_lives_for_a_time(client):
    item = next(names)
    take(client, event(item, "view", user=item, event_id="e"), event(item, user=item, values={"price": 1.0}))
    found = client.keys(f"chorus:*{item}*")
    assert len(found) == 4
    assert all(client.ttl(key) > 0 for key in found)
    assert client.ttl(keys.began(LAYOUT.digest)) > 86_400
    kept = MEMORY + 86_400  # the windows are shorter
    assert kept - 60 < client.ttl(keys.record(LAYOUT.digest, item)) <= kept


def test_a_server_that_forgot_the_script_is_told_again(client):
    item = next(names)
    client.script_flush()
    assert take(client, event(item), event(item, time=NOW + 1), event(item, time=NOW + 2)) == [0, 0, 0]


def test_the_script_has_as_many_places_as_a_ring():
    assert f"string.rep('I4', {SLOTS})" in TAKE
    assert LAYOUT.dtype["events"].base["rings"].base.itemsize == 4 * (1 + SLOTS)


def test_a_bundle_that_counts_nothing_keeps_histories_alone(client):
    bare = manifest(features(use=("hour",)))
    chosen = feature_set(bare)
    item = next(names)
    assert take(client, event(item, user=item), ledger=Ledger(bare, chosen, Settings())) == [0]
    assert client.keys(f"chorus:*{item}*") == [f"chorus:{{u:{item}}}:history".encode()]


OTHER = manifest(
    features(use=("count:like", "count:click", "shown"), windows=("1h",)), events=("profile", "like", "save"),
    history_limit=50,
)  # fmt: skip


def beside(client, *events):
    """Events as two versions read them, of which the one that stands beside counts otherwise."""
    other = Ledger(OTHER, feature_set(OTHER), Settings())
    with client.pipeline(transaction=False) as pipeline:
        for command in LEDGER.commands(events, [other]):
            pipeline.execute_command(*command)
        return pipeline.execute()[: len(events)]


def test_a_version_beside_that_counts_otherwise_has_its_own_counts_and_the_user_one_history(client):
    user, item, layout = next(names), next(names), feature_set(OTHER).layout
    told = [event(item, name, user=user, event_id=name) for name in ("click", "like", "save")]
    assert beside(client, *told) == [0, 0, 0]
    assert beside(client, *told) == [SEEN, SEEN, SEEN]
    kept = client.lrange(keys.user(user, keys.HISTORY), 0, -1)
    assert [entry.split(b'","')[1].split(b'"')[0] for entry in kept] == [b"save", b"like", b"click"]
    for wanted, counted in ((LAYOUT, ("click",)), (layout, ("like", "click"))):
        found = wanted.read(record(client, item, wanted), np.array([NOW + 1.0]))
        counts = dict(zip(wanted.events, found.counts[0, :, 0].tolist(), strict=True))
        assert {name for name, number in counts.items() if number} == set(counted)
        assert {counts[name] for name in counted} == {1}


def test_a_version_beside_that_counts_the_same_costs_nothing(client):
    told = [event(next(names), user=next(names))]
    assert LEDGER.commands(told, [LEDGER]) == LEDGER.commands(told)


def test_histories_are_as_long_as_the_version_that_reads_most_of_them(client):
    user = next(names)
    beside(client, *(event(next(names), time=NOW + number, user=user) for number in range(30)))
    assert client.llen(keys.user(user, keys.HISTORY)) == 30
