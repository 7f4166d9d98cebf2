"""Others have their turn while somebody works long."""

import asyncio
import time

from app.breaks import SECONDS, Breaks


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
