"""Answers as bytes."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from app.api.reply import AT_ONCE, Begun, Pieces


def sent(pieces):
    messages = []

    async def send(message):
        messages.append(message)

    asyncio.run(Pieces(pieces)({"type": "http"}, None, send))
    return messages


@given(st.lists(st.sampled_from([0, 1, AT_ONCE // 3, AT_ONCE, 2 * AT_ONCE]).map(lambda size: b"x" * size)))
def test_pieces_are_sent_whole_and_in_order_and_the_last_says_so(pieces):
    start, *bodies = sent(pieces)
    whole = b"".join(pieces)
    assert dict(start["headers"])[b"content-length"] == b"%d" % len(whole)
    assert b"".join(each["body"] for each in bodies) == whole
    assert [each.get("more_body", False) for each in bodies] == [True] * (len(bodies) - 1) + [False]


def test_a_small_answer_is_sent_at_once_and_a_large_one_is_not():
    assert len(sent([b"x"] * 1_000)) == 2
    assert len(sent([b"x" * (AT_ONCE // 10)] * 100)) == 11


def test_what_is_begun_is_sent_before_anybody_awaits_it():
    messages = []

    async def send(message):
        messages.append(message["type"])

    begun = Begun(b"{}", 504, send)
    assert messages == ["http.response.start", "http.response.body"]
    asyncio.run(begun({}, None, None))
    assert len(messages) == 2


def test_what_has_to_wait_ends_where_it_is_awaited():
    async def run():
        messages, free = [], asyncio.Event()

        async def send(message):
            await free.wait()
            messages.append(message["type"])

        ends = asyncio.ensure_future(_seen(Begun(b"{}", 504, send)))
        await asyncio.sleep(0)
        before = list(messages)
        free.set()
        await ends
        return before, messages

    assert asyncio.run(run()) == ([], ["http.response.start", "http.response.body"])


async def _seen(begun):
    await begun({}, None, None)
