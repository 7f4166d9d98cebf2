"""One connection, on a real Redis and behind a relay that treats its bytes badly."""

import asyncio
import time

import pytest
import uvloop
from redis.exceptions import InvalidResponse, ResponseError

from app.address import Address
from app.wire import Wire
from tests.live import Relay, parrot


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def on_loop(request):
    return request.param


class Ends:
    """What a wire told its owner."""

    def __init__(self):
        self.told, self.errors = [], []

    async def connect(self, url, *greeting):
        wire = await Address(url).connect(
            lambda: Wire(self.told.append, lambda _, error: self.errors.append(error))
        )
        await wire.send([("HELLO", 3), *greeting], 2.0)
        return wire


def hang_up(wire):
    wire.end(ConnectionError("the test is over"))


def test_however_many_ask_at_once_each_gets_its_own_replies(on_loop, redis_server):
    async def run():
        wire = await Ends().connect(redis_server.url)

        async def ask(number):
            words = [f"{number}:{each}" for each in range(1 + number % 7)]
            return words, await wire.send([("ECHO", word) for word in words], 2.0)

        answers = await asyncio.gather(*map(ask, range(300)))
        hang_up(wire)
        return answers, wire.flying, wire.due

    answers, flying, due = on_loop(run())
    assert all([reply.decode() for reply in replies] == words for words, replies in answers)
    assert (flying, due) == (0, 0.0)


def test_whoever_goes_away_shifts_no_reply(on_loop, redis_server):
    async def run():
        wire = await Ends().connect(redis_server.url)
        trips = [wire.send([("ECHO", str(number))], 2.0) for number in range(20)]
        for trip in trips[::3]:
            trip.cancel()
        kept = [await trip for number, trip in enumerate(trips) if number % 3]
        hang_up(wire)
        return kept

    assert on_loop(run()) == [[str(number).encode()] for number in range(20) if number % 3]


def test_a_refusal_is_a_value_and_the_rest_of_the_trip_goes_on(on_loop, redis_server):
    async def run():
        wire = await Ends().connect(redis_server.url)
        replies = await wire.send([("NONSENSE",), ("ECHO", "still")], 2.0)
        hang_up(wire)
        return replies

    refused, echo = on_loop(run())
    assert isinstance(refused, ResponseError)
    assert echo == b"still"


def test_replies_that_come_in_pieces_are_whole(redis_server):
    async def run():
        async with Relay(redis_server.url.removeprefix("unix://"), piece=7) as relay:
            wire = await Ends().connect(relay.url)
            words = ["x" * size for size in (0, 1, 6, 7, 8, 100)]
            replies = await wire.send([("ECHO", word) for word in words], 2.0)
            hang_up(wire)
            return [reply.decode() for reply in replies], words

    replies, words = asyncio.run(run())
    assert replies == words


def test_a_connection_cut_within_a_reply_fails_all_that_wait_for_it(redis_server):
    async def run():
        ends = Ends()
        async with Relay(redis_server.url.removeprefix("unix://")) as relay:
            wire = await ends.connect(relay.url)
            relay.cut = 50
            trips = [wire.send([("ECHO", "x" * 30)], 2.0) for _ in range(3)]
            found = await asyncio.gather(*trips, return_exceptions=True)
            after = await asyncio.gather(wire.send([("PING",)], 2.0), return_exceptions=True)
        return found, after, ends.errors

    (first, *rest), [after], errors = asyncio.run(run())
    assert first == [b"x" * 30]
    assert all(isinstance(error, ConnectionError) for error in [*rest, after])
    assert len(errors) == 1


@pytest.mark.parametrize(
    ("said", "error"),
    [(b"HTTP/1.1 400 Bad Request\r\n\r\n", InvalidResponse), (b"+OK\r\n+OK\r\n", ConnectionError)],
)
def test_what_is_no_answer_to_us_ends_the_connection(said, error):
    async def run():
        ends = Ends()
        async with parrot(said) as url:
            await asyncio.gather(ends.connect(url), return_exceptions=True)
        return ends.errors

    [found] = asyncio.run(run())
    assert isinstance(found, error)


def test_a_reply_that_is_late_ends_the_connection_and_everyone_on_it(on_loop, redis_server):
    async def run():
        ends = Ends()
        wire = await ends.connect(redis_server.url)
        key = "wire:nobody pushes here"
        trips = [wire.send([("BLPOP", key, 1)], 0.05), wire.send([("PING",)], 0.01)]
        found = await asyncio.gather(*trips, return_exceptions=True)
        return found, ends.errors

    found, errors = on_loop(run())
    assert [type(each) for each in (*found, *errors)] == [TimeoutError] * 3


def test_a_trip_is_given_the_time_of_the_one_ahead_of_it(on_loop, redis_server):
    async def run():
        wire = await Ends().connect(redis_server.url)
        long = wire.send([("BLPOP", "wire:nobody pushes here", 0.2)], 5.0)
        short = wire.send([("ECHO", "there")], 0.01)
        found = await asyncio.gather(long, short)
        hang_up(wire)
        return found

    assert on_loop(run()) == [[None], [b"there"]]


def test_a_reply_that_lay_here_while_we_were_busy_is_not_late(on_loop, redis_server):
    async def run():
        wire = await Ends().connect(redis_server.url)
        trip = wire.send([("ECHO", "there")], 0.02)
        await asyncio.sleep(0)  # it goes out
        time.sleep(0.1)
        found = await trip
        hang_up(wire)
        return found

    assert on_loop(run()) == [b"there"]


def test_changes_of_what_was_read_are_told_in_their_place(on_loop, redis_server):
    async def run():
        ends = Ends()
        wire = await ends.connect(redis_server.url, ("CLIENT", "TRACKING", "ON"), ("SET", "wire:told", "1"))
        await wire.send([("GET", "wire:told")], 2.0)
        with redis_server.client() as client:
            client.set("wire:told", "2")
        [value] = await wire.send([("GET", "wire:told")], 2.0)
        seen = list(ends.told)
        hang_up(wire)
        return value, seen

    assert on_loop(run()) == (b"2", [[b"wire:told"]])
