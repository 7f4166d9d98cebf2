"""How a version is loaded beside requests: who gives way to whom."""

import asyncio
import os
import sys
import threading

import pytest

from app.pace import LONGEST, PATIENT_SECONDS, Pace
from app.priority import LOADING


def nice():
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priorities of their own here")
@pytest.mark.parametrize(("beside", "lower"), [(True, LOADING), (False, 0)])
def test_only_what_needs_no_lock_gives_way_and_only_beside_requests(beside, lower):
    async def run():
        with Pace(beside=beside) as pace:
            here = nice()
            assert await pace.run(nice) == here
            assert await pace.run(lambda: pace.give_way(nice)) == min(19, here + lower)

    asyncio.run(run())


@pytest.mark.parametrize("beside", [True, False])
def test_what_gives_way_has_the_lock_when_others_lay_it_down(beside):
    async def run():
        with Pace(beside=beside) as pace:
            steps = sys.getswitchinterval()
            patient = await pace.run(lambda: pace.give_way(sys.getswitchinterval))
            assert sys.getswitchinterval() == steps
            return patient

    before = sys.getswitchinterval()
    assert asyncio.run(run()) == pytest.approx(PATIENT_SECONDS if beside else before)
    assert sys.getswitchinterval() == before


def test_files_are_hashed_one_by_one_beside_requests():
    """Threads that give way take more together than one does."""
    assert Pace(beside=True).few(16) == 1
    assert Pace(beside=False).few(16) == 16


def test_between_two_steps_the_event_loop_has_its_turn():
    async def run():
        turns = 0

        async def turn():
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        def steps():
            for _ in range(5):
                seen.append(turns)
                yield

        counting, seen = asyncio.create_task(turn()), list[int]()
        with Pace(beside=True) as pace:
            await pace.each(steps())
        counting.cancel()
        return seen

    seen = asyncio.run(run())
    assert len(seen) == len(set(seen)) == 5


def test_a_rest_ends_though_the_event_loop_never_does():
    async def run():
        busy = asyncio.create_task(work())
        with Pace(beside=True) as pace:
            await pace.rest()
        busy.cancel()

    async def work():
        while True:
            threading.Event().wait(LONGEST / 50)
            await asyncio.sleep(0)

    asyncio.run(run())


def test_what_goes_wrong_in_a_step_is_told():
    async def run():
        with Pace(beside=True) as pace, pytest.raises(ZeroDivisionError):
            await pace.run(lambda: pace.give_way(lambda: 1 // 0))

    asyncio.run(run())


def test_what_goes_wrong_in_one_of_many_steps_is_told():
    def steps():
        yield
        raise ZeroDivisionError

    async def run():
        with Pace(beside=True) as pace, pytest.raises(ZeroDivisionError):
            await pace.each(steps())

    asyncio.run(run())
