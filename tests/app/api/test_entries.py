"""A large batch, whose entries are parsed apart, is what it is when it is parsed as a whole."""

import asyncio
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.api import entries
from app.api.batch import BatchRequest
from app.api.entries import LARGE, parse_each
from app.api.pairs import Pair, ScoreRequest
from app.api.schema import RecommendRequest
from app.errors import ServiceError

MOST = 5
BATCH = (BatchRequest, RecommendRequest, "requests")
SCORE = (ScoreRequest, Pair, "pairs")
GOOD = '{"user_id": "u]}", "candidates": ["a", {"item_id": "b", "text": {"title": "x, {"}}], "k": 3}'

WORDS = st.sampled_from(["u", 'a"b', "back\\slash", "],[", "}", "é", "\u2028", "😀", "", "requests"])
WRITTEN = st.builds(json.dumps, WORDS, ensure_ascii=st.booleans()) | st.sampled_from(
    [
        r'"\u0000"',
        r'"\ud800"',
        '"\t"',
        r'"\u0061"',
        "1e400",
        "NaN",
        "-Infinity",
        "-0",
        "9" * 5_000,
        "01",
        "tru",
    ]
)
PLAIN = WRITTEN | st.sampled_from(["null", "true", "5", "0.5", "[]", "{}", '["a", 5]', "[[1]]"])
NAMES = st.sampled_from(
    ["user_id", "query", "candidates", "k", "filters", "explain", "x", "pairs", "requests"]
)
BLANKS = st.sampled_from([*[""] * 6, " ", "\n\t", "\r\n", "\f"])


def members(names, values):
    pair = st.builds(lambda name, gap, value: f'"{name}"{gap}:{gap}{value}', names, BLANKS, values)
    return st.lists(pair, max_size=3).map(lambda pairs: "{" + ",".join(pairs) + "}")


ENTRIES = st.just(GOOD) | st.just(GOOD) | members(NAMES, PLAIN | members(NAMES, PLAIN)) | PLAIN
LISTS = st.builds(
    lambda gap, each, end: f"[{gap}" + f"{gap},{gap}".join(each) + f"{gap}{end}",
    BLANKS,
    st.lists(ENTRIES, min_size=1, max_size=MOST + 1),
    st.sampled_from([*["]"] * 8, ",]", ""]),
)
KEYS = st.sampled_from(["requests", r"r\u0065quests", "texts", "fusion", "x"])
BODIES = st.builds(
    lambda gap, first, more, end: (
        f"{gap}{{{gap}"
        + f"{gap},{gap}".join(f'"{k}":{v}' for k, v in [("requests", first), *more])
        + f"}}{end}"
    ),
    BLANKS,
    LISTS,
    st.just([]) | st.just([]) | st.lists(st.tuples(KEYS, LISTS | PLAIN), max_size=2),
    st.sampled_from([*[""] * 8, " ", "}", "x"]),
)


def said(work):
    """What it gives, or how it refuses; errors have no equality of their own."""
    try:
        rest, found = work()
    except ServiceError as error:
        return type(error), str(error)
    return rest.model_dump(exclude={"requests", "pairs"}), [
        (type(each), str(each)) if isinstance(each, ServiceError) else each for each in found
    ]


def apart(body, model, entry, key):
    padded = body + b" " * (LARGE + 1 - len(body))
    return said(lambda: asyncio.run(parse_each(model, entry, padded, key, MOST)))


def whole(body, model, entry, key):
    padded = body + b" " * (LARGE + 1 - len(body))
    return said(lambda: entries._whole(model, entry, padded, key, MOST))


def written(*each, more=""):
    return f'{{"requests": [{", ".join(each)}]{more}}}'


@given(BODIES)
@example(written(GOOD, GOOD))
@example(written(GOOD, '{"user_id": 5}', GOOD))
@example(written(GOOD, '{"user_id": 5}', '{"user_id": "u", "k": "x", "k": 3}'))
@example(written('{"user_id": "u", "k": NaN}', '{"user_id": 5}'))
@example(written(GOOD, more=', "requests": []'))
@example(written(GOOD, more=', "x": 1'))
@example(written(GOOD, '{"user_id": "u"') + "}")
@example(written(*[GOOD] * (MOST + 1)))
@example(written("{" + ",".join(f'"{n}": 1' for n in range(1_001)) + "}"))
@example(written(GOOD, "{" + ",".join(f'"{n}": 1' for n in range(1_001)) + "}"))
@example(written('{"user_id": 5}', "{" + ",".join(f'"{n}": 1' for n in range(1_001)) + "}"))
@example(written(GOOD, '{"user_id": ' + "[" * 195 + "]" * 195 + "}"))
@example(written(GOOD, '{"user_id": ' + "[" * 5_000 + "]" * 5_000 + "}"))
def test_a_body_is_answered_as_if_it_were_parsed_as_a_whole(text):
    body = text.encode(errors="surrogatepass")
    assert apart(body, *BATCH) == whole(body, *BATCH)


@given(BODIES)
@example('{"texts": ["a"], "pairs": [{"user_id": "u", "item_id": "i"}, {"user_id": "u"}], "fusion": null}')
def test_so_is_one_whose_list_is_not_all_there_is(text):
    body = text.replace("requests", "pairs").encode(errors="surrogatepass")
    assert apart(body, *SCORE) == whole(body, *SCORE)


@pytest.mark.parametrize("cut", [b"\xff", b"\xc3", b"\xed\xa0\x80"])
def test_bytes_that_are_no_text_are_refused_as_such(cut):
    body = written(GOOD).encode().replace(b'"u]}"', b'"u' + cut + b'"')
    assert apart(body, *BATCH) == whole(body, *BATCH)


def test_others_have_their_turn_between_the_entries_of_a_large_body():
    body = written(
        *[json.dumps({"user_id": "u", "candidates": [f"i{n}" for n in range(20_000)]})] * 5
    ).encode()

    async def run():
        turns, done = 0, False

        async def other():
            nonlocal turns
            while not done:
                turns += 1
                await asyncio.sleep(0)

        beside = asyncio.create_task(other())
        _, found = await parse_each(*BATCH[:2], body, "requests", 5)
        done = True
        await beside
        return turns, found

    turns, found = asyncio.run(run())
    assert [len(each.candidates) for each in found] == [20_000] * 5
    assert turns > 1
