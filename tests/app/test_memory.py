import asyncio

import pytest

from app.memory import Flights, Lru


def test_the_value_used_longest_ago_is_forgotten():
    table = Lru[str, int](2)
    table.put("a", 1)
    table.put("b", 2)
    assert table.get("a") == 1
    table.put("c", 3)
    assert ("a" in table, "b" in table, "c" in table, len(table)) == (True, False, True, 2)
    assert table.keys == ["c", "a"]


def test_however_many_ask_the_work_is_done_once():
    async def run():
        runs, shared = [], []
        flights = Flights[str, int](lambda: shared.append(1))

        async def work():
            runs.append(1)
            await asyncio.sleep(0.01)
            return 7

        answers = await asyncio.gather(*(flights.run("key", work) for _ in range(100)))
        return answers, len(runs), len(shared)

    assert asyncio.run(run()) == ([7] * 100, 1, 99)


def test_a_caller_who_goes_away_does_not_fail_the_others():
    async def run():
        flights = Flights[str, int](lambda: None)
        begun = asyncio.Event()

        async def work():
            begun.set()
            await asyncio.sleep(0.02)
            return 7

        async def ask():
            return await flights.run("key", work)

        first = asyncio.create_task(ask())
        await begun.wait()
        second = asyncio.create_task(ask())
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert asyncio.run(run()) == 7


def test_work_that_failed_is_tried_again_by_the_next():
    async def run():
        flights = Flights[str, int](lambda: None)

        async def fail():
            raise ValueError("no")

        async def work():
            return 7

        with pytest.raises(ValueError, match="no"):
            await flights.run("key", fail)
        return await flights.run("key", work)

    assert asyncio.run(run()) == 7


def test_work_that_nobody_waits_for_is_cancelled_at_once():
    """Not a turn of the event loop later, in which a thread might begin with it."""

    async def run():
        flights = Flights[str, int](lambda: None)
        row = asyncio.get_running_loop().create_future()
        callers = [flights.run("key", lambda: row) for _ in range(2)]
        first = callers[0].cancel(), row.cancelled()
        last = callers[1].cancel(), row.cancelled(), "key" in flights
        return first, last, callers[1].cancel()

    assert asyncio.run(run()) == ((True, False), (True, True, False), False)


def test_work_that_is_cancelled_cancels_who_waits():
    async def run():
        flights = Flights[str, int](lambda: None)
        row = asyncio.get_running_loop().create_future()
        caller = flights.run("key", lambda: row)
        row.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller

    asyncio.run(run())
