"""Copies of what Redis holds: whether they are true, on a real Redis that others write to."""

import asyncio
import random
from contextlib import asynccontextmanager

import numpy as np
import pytest
from prometheus_client import generate_latest

from app import keys, shown
from app.ledger import StoredEvent
from app.link import Link
from app.metrics import Metrics
from app.settings import Settings
from app.state import State, UserState
from app.stored import Stored
from tests.app import plain
from tests.live import eventually_async, real_redis, value

MANIFEST = plain.manifest()
FEATURES = plain.feature_set(MANIFEST)
LAYOUT = FEATURES.layout
CLICK = LAYOUT.events.index("click")


@asynccontextmanager
async def opened(server, login="", **settings):
    """A state with copies, or without if the settings say so, and how often it has gone to Redis to read."""
    chosen, metrics = Settings(**settings), Metrics()
    url = server.url.replace("unix://", f"unix://{login}")
    link = Link(url, timeout=2.0, metrics=metrics, tracked=chosen.local_cache > 0)
    line = 'chorus_redis_duration_seconds_count{op="fetch"}'
    try:
        yield State(link, chosen, MANIFEST, FEATURES), lambda: value(generate_latest(metrics).decode(), line)
    finally:
        await link.close()


def click(user, item, time=100.0):
    return StoredEvent(items=(item,), event="click", time=time, user=user)


async def ask(state, user, *items):
    return await state.fetch([user], shown=[user], items=items)


def known(found, user):
    """All that was found, as plain values."""
    clicks = LAYOUT.read(found.live.records, np.array([200.0])).counts[:, CLICK].max(axis=1)
    return len(found.users[user].history), len(found.shown[user]), clicks.tolist(), found.live.began


def test_what_was_read_is_not_read_again_even_where_there_is_nothing(redis_server):
    async def run():
        async with opened(redis_server) as (state, trips):
            await state.push([click("near:again", "near:a")])
            found = [
                known(await ask(state, "near:again", "near:a", "near:none"), "near:again") for _ in range(5)
            ]
            return found, trips()

    found, trips = asyncio.run(run())
    assert found[0][:3] == (1, 0, [1, 0])
    assert found == found[:1] * 5
    assert trips == 1


def test_only_what_is_missing_is_read(redis_server):
    async def run():
        async with opened(redis_server) as (state, trips):
            await state.push([click(None, f"near:part:{n}") for n in range(4)])
            await ask(state, "near:part", "near:part:0", "near:part:2")
            with redis_server.client() as client:
                client.config_resetstat()
                found = await ask(state, "near:part", *(f"near:part:{n}" for n in range(4)))
                return known(found, "near:part")[2], trips(), client.info("commandstats")

    clicks, trips, calls = asyncio.run(run())
    assert (clicks, trips) == ([1] * 4, 2)
    assert calls["cmdstat_mget"]["calls"] == 1
    assert not {"cmdstat_get", "cmdstat_lrange"} & set(calls)


def test_what_this_process_wrote_it_sees_at_once_should_word_of_it_come_late(redis_server):
    async def run():
        async with opened(redis_server) as (state, _):
            state._link._listeners.clear()  # no word comes at all
            seen = []
            for number in range(1, 11):
                await state.push([click("near:own", f"near:own:{number % 2}", time=float(number))])
                seen.append(known(await ask(state, "near:own", "near:own:0", "near:own:1"), "near:own"))
            for number in range(5):
                await state.replace([UserState("near:own", [], {"n": number}, [(1.0, ("i",))] * number)])
                found = await ask(state, "near:own")
                seen.append((found.users["near:own"].profile["n"], len(found.shown["near:own"])))
            return seen

    seen = asyncio.run(run())
    assert [one[:3] for one in seen[:10]] == [(n, 0, [n // 2, (n + 1) // 2]) for n in range(1, 11)]
    assert seen[10:] == [(n, n) for n in range(5)]


def test_readings_under_way_keep_nothing_that_this_process_writes_meanwhile(redis_server):
    """Readers always have some under way, while a writer asks right after each of its events."""

    async def read(state, done):
        while not done.is_set():
            await ask(state, "near:busy", "near:busy")
            await asyncio.sleep(0)

    async def run():
        async with opened(redis_server) as (state, _):
            done, seen = asyncio.Event(), []
            readers = [asyncio.create_task(read(state, done)) for _ in range(4)]
            for number in range(1, 201):
                await state.push([click("near:busy", "near:busy", time=100.0)])
                seen.append(known(await ask(state, "near:busy", "near:busy"), "near:busy")[2])
                await asyncio.sleep(random.Random(number).random() / 1_000)
            done.set()
            await asyncio.gather(*readers)
            return seen

    assert asyncio.run(run()) == [[number] for number in range(1, 201)]


CHANGES = {
    "a profile": lambda client: client.set(keys.user("near:other", keys.PROFILE), '{"a": 1}'),
    "a list shown": lambda client: client.lpush(keys.user("near:other", keys.SHOWN), shown.pack(1.0, ["i"])),
    "a record": lambda client: client.delete(keys.record(LAYOUT.digest, "near:other")),
    "a key that ends": lambda client: client.pexpire(keys.user("near:other", keys.HISTORY), 1),
    "everything": lambda client: client.flushall(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_by_another_client_is_seen(change):
    async def run():
        with real_redis() as server, server.client() as client:
            async with opened(server) as (one, trips):
                await one.push([click("near:other", "near:other", time=50.0)])
                await ask(one, "near:other", "near:other")
                await ask(one, "near:other", "near:other")
                before = trips()
                CHANGES[change](client)

                async def noticed() -> bool:
                    await ask(one, "near:other", "near:other")
                    return trips() > before

                await eventually_async(noticed)
                return before

    assert asyncio.run(run()) == 1


def test_a_vector_that_is_stored_leaves_the_copies_of_its_user(redis_server):
    """Else a version that encodes all users, as one does before it serves, would leave nobody any."""

    async def run():
        async with opened(redis_server) as (state, trips):
            await state.fetch(["near:vector"])
            await state.fetch(["near:after"])
            with redis_server.client() as client:
                client.set(keys.vector("near:vector", MANIFEST.fingerprint[:16]), b"x")
                client.set(keys.user("near:after", keys.PROFILE), "{}")  # what Redis tells of it comes later

            async def noticed() -> bool:
                await state.fetch(["near:after"])
                return trips() > 2

            await eventually_async(noticed)
            before = trips()
            await state.fetch(["near:vector"])
            return trips() - before

    assert asyncio.run(run()) == 0


def test_two_services_see_each_others_events_within_moments(redis_server):
    async def run():
        async with opened(redis_server) as (one, _), opened(redis_server) as (two, _):
            for number in range(1, 21):
                writer, reader = (one, two) if number % 2 else (two, one)
                await writer.push([click("near:two", "near:two", time=float(number))])

                async def seen(reader=reader, number=number) -> bool:
                    found = await ask(reader, "near:two", "near:two")
                    return known(found, "near:two")[:3] == (min(number, 10), 0, [number])

                await eventually_async(seen)

    asyncio.run(run())


def test_a_line_that_is_lost_leaves_no_copies(redis_server):
    async def run():
        async with opened(redis_server, local_ttl_seconds=3_600) as (state, trips):
            await ask(state, "near:lost", "near:lost")
            with redis_server.client() as client:
                lines = [
                    each for each in client.client_list() if each["name"] == "chorus" and "t" in each["flags"]
                ]
                for line in lines:  # those of other tests' services too: they connect again
                    client.client_kill_filter(_id=line["id"])

            async def gone() -> bool:
                await ask(state, "near:lost", "near:lost")
                return trips() >= 2

            await eventually_async(gone)
            return len(lines)

    assert asyncio.run(run()) >= 1


def test_while_redis_is_away_nothing_is_answered_from_copies():
    async def run():
        with real_redis() as server:
            async with opened(server) as (state, _):
                assert not (await ask(state, "near:away", "near:away")).away
                server.kill()

                async def away() -> bool:
                    return (await ask(state, "near:away", "near:away")).away

                await eventually_async(away)

    asyncio.run(run())


def test_a_copy_is_never_older_than_the_limit(redis_server):
    async def run():
        async with opened(redis_server, local_ttl_seconds=0.1) as (state, trips):
            await ask(state, "near:old", "near:old")
            await asyncio.sleep(0.15)
            await ask(state, "near:old", "near:old")
            return trips()

    assert asyncio.run(run()) == 2


def test_what_changes_while_it_is_read_is_not_kept(redis_server):
    async def run():
        async with opened(redis_server) as (state, _):
            await state.fetch(["near:any"])  # the line is there
            near = state._near
            found = []
            for told in (
                [],
                [b"chorus:{u:near:race}:history"],
                [keys.record(LAYOUT.digest, "a").encode()],
                None,
            ):
                reading = near.look(["near:race"], ["near:race"], ["a", "b"])
                with near.watch(reading):
                    near.told(told)
                    near.keep(reading, {"near:race": Stored()}, {"near:race": []})
                    near.count(reading, LAYOUT.blank(2), 1.0)
                again = near.look(["near:race"], ["near:race"], ["a", "b"])
                found.append((again.users, again.shown, again.items, again.timed))
                near.told(None)
            return found

    race, both = ["near:race"], ["a", "b"]
    assert asyncio.run(run()) == [
        ([], [], [], True), (race, race, [], True), ([], [], ["a"], True), (race, race, both, False),
    ]  # fmt: skip


def test_with_no_copies_every_fetch_is_one_trip_and_what_did_not_change_is_the_same(redis_server):
    async def run():
        async with opened(redis_server, local_cache=0) as (state, trips):
            await state.push([click("near:off", "near:off")])
            found = [await ask(state, "near:off", "near:off") for _ in range(3)]
            before = trips()
            with redis_server.client() as client:  # by anyone: nothing is told, everything is seen
                client.set(keys.user("near:off", keys.PROFILE), '{"a": 1}')
            found.append(await ask(state, "near:off", "near:off"))
            return [one.users["near:off"] for one in found], before, trips()

    (first, second, third, fourth), before, after = asyncio.run(run())
    assert first is second is third
    assert (first.profile, fourth.profile) == ({}, {"a": 1})
    assert (before, after) == (3, 4)


def test_where_redis_will_not_tell_of_changes_nothing_is_kept(redis_server):
    with redis_server.client() as client:
        client.execute_command("ACL SETUSER deaf on >secret ~* +@all -client")

    async def run():
        async with opened(redis_server, "deaf:secret@") as (state, trips):
            for _ in range(3):
                await ask(state, "near:deaf", "near:deaf")
            return trips()

    assert asyncio.run(run()) == 3


def test_that_counting_began_is_known_once_it_did():
    async def run():
        with real_redis() as server:
            async with opened(server) as (state, trips):
                before = (await ask(state, "near:began", "a")).live.began
                await state.push([click(None, "b", time=7.0)])
                after = (await ask(state, "near:began", "a")).live.began
                await state.push([click(None, "b", time=8.0)])
                again = (await ask(state, "near:began", "a")).live.began
                return before, after, again, trips()

    assert asyncio.run(run()) == (None, 7.0, 7.0, 2)


def test_hits_and_misses_are_counted(redis_server):
    async def run():
        async with opened(redis_server) as (state, _):
            for _ in range(3):
                await ask(state, "near:count", "near:x", "near:y")
            count = state._link.metrics.cache.labels
            names = ("stored", "shown", "record")
            return [tuple(count(name, "local", each).value for each in ("hit", "miss")) for name in names]

    assert asyncio.run(run()) == [(2, 1), (2, 1), (4, 2)]
