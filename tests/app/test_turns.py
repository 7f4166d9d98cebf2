import asyncio

import pytest
from prometheus_client import generate_latest

from app.metrics import Metrics
from app.turns import Turns
from tests.live import value


def line(metrics: Metrics):
    return metrics.candidates_waiting, metrics.queues.labels("heads")


class Sums:
    """Adds, and notes what it was given at once."""

    def __init__(self):
        self.calls = []

    def __call__(self, asks, known):
        self.calls.append(list(asks))
        if "bad" in asks:
            raise ValueError("no")
        return [f"{ask}+{one}" for ask, one in zip(asks, known, strict=True)]


@pytest.fixture
def sums():
    return Sums()


def run(work):
    return asyncio.run(work())


def test_who_asks_in_one_turn_is_answered_at_once_each_with_his_own(sums):
    async def work():
        turns = Turns(sums, *line(Metrics()), most=100)
        return await asyncio.gather(
            turns.answers(["a", "b"], [1, 2], 2), turns.answers(["c"], [3], 1), turns.answers([], [], 0)
        )

    assert run(work) == [["a+1", "b+2"], ["c+3"], []]
    assert sums.calls == [["a", "b", "c"]]


def test_who_asks_in_a_later_turn_is_answered_later(sums):
    async def work():
        turns = Turns(sums, *line(Metrics()), most=100)
        return [await turns.answers([ask], [0], 1) for ask in "ab"]

    assert run(work) == [["a+0"], ["b+0"]]
    assert sums.calls == [["a"], ["b"]]


def test_no_more_is_done_between_two_turns_but_one_request_stays_whole(sums):
    async def work():
        turns, turn = Turns(sums, *line(Metrics()), most=10), []
        waiting = [turns.answers([str(size)], [0], size) for size in (4, 6, 1, 12, 3)]
        while not waiting[-1].done():
            await asyncio.sleep(0)
            turn.append([each.done() for each in waiting].count(True))
        return turn

    assert run(work)[-3:] == [3, 4, 5]
    assert sums.calls == [["4", "6"], ["1"], ["12"], ["3"]]


def test_a_request_that_fails_fails_alone(sums):
    async def work():
        turns = Turns(sums, *line(Metrics()), most=100)
        shares = [turns.answers([ask], [0], 1) for ask in ("a", "bad", "b")]
        return await asyncio.gather(*shares, return_exceptions=True)

    first, failed, last = run(work)
    assert (first, last) == (["a+0"], ["b+0"])
    assert isinstance(failed, ValueError)


def test_nothing_is_done_for_who_has_gone(sums):
    async def work():
        turns = Turns(sums, *line(Metrics()), most=100)
        gone, stays = turns.answers(["a"], [0], 1), turns.answers(["b"], [0], 1)
        gone.cancel()
        return await stays

    assert run(work) == ["b+0"]
    assert sums.calls == [["b"]]


def test_each_request_is_counted_with_how_long_it_has_waited(sums):
    async def run():
        metrics = Metrics()
        turns = Turns(sums, *line(metrics), most=100)
        await asyncio.gather(*(turns.answers([number], [number], 1) for number in range(3)))
        return value(generate_latest(metrics).decode(), 'chorus_queue_duration_seconds_count{line="heads"}')

    assert asyncio.run(run()) == 3
