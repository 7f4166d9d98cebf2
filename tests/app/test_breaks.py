"""Others have their turn while somebody works long."""

import asyncio
import time

from app.breaks import SECONDS, Breaks, turn


def turns(steps, work):
    """How often another task had its turn while so many steps were done."""

    async def run():
        counted, done = 0, False

        async def other():
            nonlocal counted
            while not done:
                counted += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(other())
        breaks = Breaks()
        for _ in range(steps):
            work()
            await breaks.rest()
        done = True
        await beside
        return counted

    return asyncio.run(run())


def spin():
    end = time.perf_counter() + 1.1 * SECONDS
    while time.perf_counter() < end:
        pass


def test_others_have_their_turn_after_each_step_that_is_long():
    assert turns(5, spin) >= 5


def test_one_step_of_work_that_is_over_takes_no_break():
    assert turns(0, spin) <= 1


def test_of_many_who_rest_one_goes_on_between_two_turns_in_their_order():
    seen, number = [], 0

    async def count():
        nonlocal number
        while True:
            number += 1
            await asyncio.sleep(0)

    async def work(name):
        for _ in range(3):
            await turn()
            seen.append((name, number))

    async def run():
        counting = asyncio.create_task(count())
        await asyncio.gather(*(work(name) for name in "abc"))
        counting.cancel()

    asyncio.run(run())
    assert [name for name, _ in seen] == list("abc" * 3)
    assert len({when for _, when in seen}) == len(seen)


def test_who_is_cancelled_while_he_rests_keeps_nobody_waiting():
    async def run():
        first, second, third = (asyncio.ensure_future(turn()) for _ in range(3))
        first.cancel()
        third.cancel()
        await second
        await turn()

    asyncio.run(run())
    asyncio.run(run())  # and what one loop leaves is nothing to the next
