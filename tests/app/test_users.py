import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.candidates import Described
from app.catalogue import LATEST, Catalogue
from app.ledger import entry
from app.metrics import Metrics
from app.stored import Stored, pack, stored
from app.users import Users
from model_store.bundle import Bundle
from model_store.engine import Engine
from model_store.history import History
from model_store.scorer import Scorer

NOW = 1_795_348_800.0


@pytest.fixture(scope="session")
def engine(bundle):
    return Engine(Bundle.open(bundle), "cpu")


@pytest.fixture(scope="session")
def parted(bundle, engine):
    return Scorer(Bundle.open(bundle), engine.features).parts


@pytest.fixture
def catalogue(bundle, parted):
    """One that a test may change."""
    opened = Bundle.open(bundle)
    return Catalogue(opened.items, opened.manifest, parted)


@pytest.fixture(scope="session")
def users(bundle, engine, parted):
    opened = Bundle.open(bundle)
    catalogue = Catalogue(opened.items, opened.manifest, parted)
    with ThreadPoolExecutor(1) as pool:
        yield Users(engine, catalogue, pool=pool, metrics=Metrics(), size=100)


@pytest.fixture(scope="session")
def ids(bundle):
    return Bundle.open(bundle).items.ids


@pytest.fixture(scope="session")
def click(engine):
    return engine.manifest.events[1]


def test_the_past_is_what_was_strictly_before_oldest_first(users, ids, click):
    records = [
        (ids[2], click, NOW - 1),
        (ids[1], click, NOW - 2),
        (ids[3], click, NOW),
        (ids[4], click, NOW + 1),
    ]
    past = users.past(records, "", NOW)
    assert past.times.tolist() == [NOW - 2, NOW - 1]
    assert past.rows.tolist() == [1, 2]
    assert past.seen == {ids[1], ids[2]}
    assert past.last == NOW - 1


def test_unknown_items_and_events_are_dropped_before_the_limit(users, engine, ids, click):
    limit = engine.manifest.history_limit
    known = [(ids[n % len(ids)], click, float(n)) for n in range(limit)]
    noise = [("no such item", click, 1e6), (ids[0], "no such event", 1e6), (ids[0], "profile", 1e6)]
    past = users.past([*known, *noise], "", NOW)
    assert len(past.rows) == limit
    assert "no such item" in past.seen


def test_only_the_newest_are_kept(users, engine, ids, click):
    limit = engine.manifest.history_limit
    past = users.past([(ids[0], click, float(n)) for n in range(limit + 3)], "", NOW)
    assert past.times.tolist() == [float(n) for n in range(3, limit + 3)]


records = st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1e9)), max_size=6)


@given(records)
def test_the_order_in_which_events_arrive_does_not_matter(users, ids, click, events):
    given_events = [(ids[item], click, time) for item, time in events]
    distinct = len({time for _, _, time in given_events}) == len(given_events)
    first, second = users.past(given_events, "", NOW), users.past(given_events[::-1], "", NOW)
    assert first.digest == second.digest or not distinct


def test_the_digest_changes_with_everything_that_the_encoder_sees(users, ids, click):
    base = [(ids[1], click, 1_000.0)]
    pasts = [
        users.past(base, "", NOW),
        users.past([(ids[2], click, 1_000.0)], "", NOW),
        users.past([(ids[1], click, 2_000.0)], "", NOW),
        users.past([*base, (ids[1], click, 3_000.0)], "", NOW),
        users.past(base, "odense", NOW),
        users.past([], "odense", NOW),
        users.past([], "", NOW),
    ]
    assert len({past.digest for past in pasts}) == len(pasts)
    assert users.past(base, "", NOW + 1e5).digest == pasts[0].digest  # the moment alone changes nothing
    assert users.past([], "", NOW + 1e5).digest == pasts[-1].digest


def test_the_vector_is_what_the_engine_says(users, engine, ids, click, bundle):
    past = users.past([(ids[1], click, NOW - 60), (ids[2], click, NOW - 30)], "", NOW)
    vector = asyncio.run(users.encode(past, None))
    assert vector.shape == (engine.manifest.dimension,)
    assert np.isfinite(vector).all()
    assert users.known(past, None) is vector


def test_a_stored_vector_counts_only_for_the_same_history(users, engine, ids, click):
    row = np.ones(engine.manifest.dimension, dtype=np.float32)
    past = users.past([(ids[5], click, 7.0)], "", NOW)
    assert users.known(past, Stored(cached=pack(row, b"x" * 16), width=len(row))) is None
    assert users.known(past, Stored(cached=pack(row, past.digest), width=len(row))).tolist() == row.tolist()


def test_the_vector_of_who_has_done_nothing_is_always_at_hand(users, engine):
    nobody = users.past([], "", NOW)
    newcomer = engine.user(History.none(engine.manifest.dimension))
    for known in (None, Stored()):
        assert np.array_equal(users.known(nobody, known), newcomer)
    assert users.known(users.past([], "odense young", NOW), None) is None


def test_a_profile_moves_the_vector_of_a_newcomer(users, engine):
    nobody, someone = users.past([], "", NOW), users.past([], "odense young", NOW)
    profile = engine.text("odense young").vector
    plain, profiled = asyncio.run(users.encode(nobody, None)), asyncio.run(users.encode(someone, profile))
    assert not np.allclose(plain, profiled)


def raw(*records):
    """A stored history as Redis gives it: newest first."""
    return [entry(record).encode() for record in reversed(records)]


moments = st.sampled_from([0.0, 5.0, 10.0, 10.5, 20.0, 1e6])


@given(records, st.lists(moments, min_size=1, max_size=4), st.sampled_from([None, "", "odense"]))
def test_a_stored_past_is_that_of_its_events_at_any_moment(users, ids, click, events, nows, profile):
    told = [(ids[item] if item else "no such item", click, time % 20) for item, time in events]
    known = stored([raw(*told), None, None], 4)
    for now in nows:
        fresh = users.past(told, profile or "", now)
        recalled = users.stored(known, now, profile)
        assert (recalled.digest, recalled.items, recalled.profile) == (
            fresh.digest,
            fresh.items,
            fresh.profile,
        )
        assert recalled.times.tolist() == fresh.times.tolist()


def test_a_stored_past_is_made_once_for_all_moments_after_its_newest_event(users, ids, click):
    known = stored([raw((ids[1], click, 10.0), (ids[2], click, 20.0)), b'{"city": "Odense"}', None], 4)
    first = users.stored(known, 20.5)
    assert users.stored(known, NOW) is first
    assert users.stored(known, 20.0).times.tolist() == [10.0]
    assert users.stored(known, NOW, "someone else").profile == "someone else"
    assert users.stored(known, NOW).digest == first.digest


@pytest.mark.parametrize("changes", [1, LATEST + 1])
def test_a_stored_past_is_made_again_when_an_item_of_it_changes_and_only_then(
    catalogue, engine, ids, click, changes
):
    users = Users(engine, catalogue, pool=ThreadPoolExecutor(1), metrics=Metrics(), size=100)
    known = stored([raw((ids[1], click, 10.0), ("put later", click, 20.0)), None, None], 4)
    first = users.stored(known, NOW)
    width = engine.manifest.dimension + sum(task.width for task in engine.manifest.text_tasks)
    encoded = np.ones(width, np.float32)
    for _ in range(changes):
        catalogue.put(Described(ids[2], "red hat"), encoded)
    assert (users.stored(known, NOW) is first) == (changes == 1)
    catalogue.put(Described("put later", "red hat"), encoded)
    second = users.stored(known, NOW)
    assert (len(first.rows), len(second.rows)) == (1, 2)
    catalogue.put(Described(ids[1], "red hat"), encoded)
    third = users.stored(known, NOW)
    assert third.digest != second.digest
    catalogue.delete("put later")
    assert len(users.stored(known, NOW).rows) == 1
    assert users.stored(known, NOW).rows.tolist() == third.rows[:1].tolist()


def test_unknown_items_are_counted_at_every_request(users, ids, click):
    known = stored([raw(("no such item", click, 10.0), (ids[2], click, 20.0)), None, None], 4)
    counter = users._metrics.unknown
    before = counter.value
    for now in (15.0, 30.0, 40.0, 50.0):
        users.stored(known, now)
    assert counter.value - before == 4
