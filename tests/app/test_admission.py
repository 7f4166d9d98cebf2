import asyncio
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.admission import BYTES, HEAD, JOBS, PRICE, Admission
from app.metrics import Metrics
from model_store.engine import cores
from tests.live import eventually_async, serving

WAIT = 0.2
ROOM = WAIT / PRICE  # candidates that a burst may make wait, before anything was learned


class Day:
    """A clock whose wall and thread a test moves."""

    def __init__(self) -> None:
        self.wall, self.work = 100.0, 10.0

    def __call__(self) -> tuple[float, float]:
        return self.wall, self.work

    def spend(self, work: float, rest: float = 0.0) -> None:
        self.wall, self.work = self.wall + work + rest, self.work + work


def admission() -> tuple[Admission, Metrics]:
    metrics = Metrics()
    return Admission(metrics, WAIT, Day()), metrics


def verdicts(costs: list[int]) -> list[bool]:
    """Of requests of such costs, in candidates, that are read in one turn of a new process's loop."""

    async def run():
        taken, _ = admission()
        return [taken.admits(BYTES * (cost - HEAD)) for cost in costs]

    return asyncio.run(run())


def test_whatever_comes_is_taken_where_nothing_waits():
    assert verdicts([int(100 * ROOM)]) == [True]


def test_what_would_wait_longer_than_a_burst_may_is_refused_and_what_still_fits_is_not():
    assert verdicts([1_000, int(100 * ROOM), 1_000]) == [True, False, True]


@given(st.integers(HEAD, 2_000), st.integers(1, 100))
def test_a_batch_gets_the_verdict_of_as_many_singles_at_equal_cost(cost, number):
    """Behind another request, for nobody is refused where nothing waits."""
    first, batch = verdicts([HEAD, number * cost])
    singles = verdicts([HEAD, *[cost] * number])
    assert first
    assert batch == all(singles)


def test_a_turn_that_is_over_makes_room():
    async def run():
        taken, metrics = admission()
        full = [taken.admits(int(0.6 * ROOM * BYTES)) for _ in range(2)]
        await asyncio.sleep(0)
        return full, taken.admits(0), metrics.admitted.value

    assert asyncio.run(run()) == ([True, False], True, 2)


def test_candidates_that_wait_for_the_heads_leave_less_room():
    async def run():
        taken, metrics = admission()
        metrics.candidates_waiting.set(10 * ROOM)
        full = taken.admits(0)
        metrics.candidates_waiting.set(0)
        return full, taken.admits(0)

    assert asyncio.run(run()) == (False, True)


def flooded(price: float, turns: int) -> list[int]:
    """How many requests of 850 candidates each turn takes, if as many come as may and a candidate costs so much."""

    async def run():
        day, sizes = Day(), []
        taken = Admission(Metrics(), WAIT, day)
        for _ in range(turns):
            number = 0
            while taken.admits(850 * BYTES):
                number += 1
            sizes.append(number)
            day.spend(number * 1_000 * price)
            taken.finished()
            day.spend(0.5e-3)
            await asyncio.sleep(0)
        return sizes

    return asyncio.run(run())


@pytest.mark.parametrize("price", [1e-6, 5e-6])
def test_what_a_burst_may_wait_is_not_what_overload_may_wait(price):
    """Ten requests, or a tenth of the longest wait if they cost less."""
    sizes = flooded(price, 200)
    assert max(sizes) >= 2 * JOBS - 1
    assert JOBS - 1 <= sizes[-1] <= 1.5 * JOBS


def test_a_price_that_was_wrong_is_learned():
    cheap, dear = flooded(1e-7, 200)[-1], flooded(1e-5, 200)[-1]
    assert cheap > 3 * dear


def test_what_the_thread_does_for_nobody_costs_nobody():
    async def run():
        day = Day()
        taken = Admission(Metrics(), WAIT, day)
        for _ in range(100):
            day.spend(10.0)
            taken.admits(850 * BYTES)
            day.spend(1e-3)
            taken.finished()
            await asyncio.sleep(0)
        return sum(taken.admits(850 * BYTES) for _ in range(1_000))

    assert 0.9 * WAIT / 1e-3 <= asyncio.run(run()) <= 1.1 * WAIT / 1e-3


def taken_by_turn(offered: list[int], rests: dict[int, float] | None = None) -> list[int]:
    """How many requests of a millisecond each turn takes of those that come in it; rests: seconds after a turn."""

    async def run():
        day, sizes = Day(), []
        taken = Admission(Metrics(), WAIT, day)
        for turn, number in enumerate(offered):
            sizes.append(sum(taken.admits(850 * BYTES) for _ in range(number)))
            day.spend(sizes[-1] * 1e-3)
            taken.finished()
            day.spend(0.0, (rests or {}).get(turn, 0.0))
            await asyncio.sleep(0)
        return sizes

    return asyncio.run(run())


def test_when_overload_has_passed_a_burst_is_taken_again():
    sizes = taken_by_turn([1_000] * 100 + [1, 1_000], {100: WAIT})
    assert sizes[99] <= 1.1 * 0.1 * WAIT / 1e-3
    assert sizes[-1] >= 0.9 * WAIT / 1e-3


def test_who_comes_while_the_machine_stands_still_is_taken_once_it_goes_on():
    """Four fifths of what can be done, and a pause of four fifths of the longest wait; then it falls behind for as
    long as it takes to catch up, and that is no overload."""

    async def run():
        day, metrics = Day(), Metrics()
        taken, refused, due, done = Admission(metrics, WAIT, day), 0, day.wall, 0
        waiting = 0
        for turn in range(3_000):
            if turn == 1_500:
                day.wall += 0.8 * WAIT
            while due <= day.wall:
                if taken.admits(850 * BYTES):
                    waiting += 1
                else:
                    refused += 1
                due += 1e-3 / 0.8
            await asyncio.sleep(0)
            if waiting:
                waiting, done = waiting - 1, done + 1
                day.spend(1e-3)
                taken.finished()
            else:
                day.spend(0.0, max(0.0, due - day.wall))
            metrics.candidates_waiting.set(1_000 * waiting)
        return refused, done

    refused, done = asyncio.run(run())
    assert done > 1_500
    assert refused == 0


def test_candidates_on_other_threads_are_work_that_waits(settings):
    """All that is not refused at once has been counted, and nothing is left of it."""

    async def run():
        async with serving(settings) as (client, service):
            end, waiting = threading.Event(), service.metrics.candidates_waiting
            for _ in range(cores()):
                service.model.pools.heads.submit(end.wait)
            asked = asyncio.create_task(client.post("/recommend", json={"history": [], "k": 1}))
            try:
                await eventually_async(lambda: _is(waiting.value == HEAD))
                late = await client.post(
                    "/recommend", json={"history": [], "k": 1}, headers={"X-Request-Timeout-Ms": "50"}
                )
                during = waiting.value
            finally:
                end.set()
            return (await asked).status_code, late.status_code, during, waiting.value

    taken, late, during, after = asyncio.run(run())
    assert (taken, late, during, after) == (200, 504, HEAD, 0)


async def _is(true):
    return true
