import asyncio
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest

from app.batcher import Batcher
from app.metrics import Metrics
from model_store.bundle import Bundle
from model_store.engine import Engine
from tests.live import eventually, value

TEXTS = [f"red running shoes number {n} " + "with a longer text " * (n % 5) for n in range(201)]


@pytest.fixture(scope="session")
def engine(bundle):
    return Engine(Bundle.open(bundle), "cpu", precision="fp32")


@contextmanager
def opened(engine, **options):
    batcher = Batcher(engine, metrics := Metrics(), **{"threads": 2, "most": 1_000} | options)
    try:
        yield batcher, metrics
    finally:
        batcher.close()


def encoded(batcher, texts):
    async def run():
        return await asyncio.gather(*map(batcher.encode, texts))

    return asyncio.run(run())


def test_a_row_is_the_vector_and_the_outputs(engine):
    with opened(engine) as (batcher, _):
        [row] = encoded(batcher, ["red shoes"])
    expected = engine.text("red shoes")
    assert np.array_equal(row, np.concatenate([expected.vector, *expected.outputs.values()]))


def test_a_text_alone_and_among_two_hundred_others_has_the_same_bits(engine):
    with opened(engine) as (batcher, _):
        [alone] = encoded(batcher, TEXTS[:1])
        among = [encoded(batcher, [*TEXTS[1:place], TEXTS[0], *TEXTS[place:]]) for place in (1, 100, 201)]
    for place, rows in zip((0, 99, 200), among, strict=True):
        assert rows[place].tobytes() == alone.tobytes()


def test_int8_gives_a_text_alone_and_among_two_hundred_others_in_few_runs_the_same_bits(bundle):
    engine = Engine(Bundle.open(bundle), "cpu", precision="int8")
    with opened(engine, tokens=256) as (batcher, metrics):
        alone = [encoded(batcher, [text])[0] for text in TEXTS[:9]]
        for place in (1, 100, 193):
            rows = encoded(batcher, [*TEXTS[9 : 8 + place], *TEXTS[:9], *TEXTS[8 + place :]])
            for one, row in zip(alone, rows[place - 1 :], strict=False):
                assert row.tobytes() == one.tobytes()
    assert value(generate_latest(metrics).decode(), "chorus_texts_together_count") < 200


@pytest.mark.parametrize("tokens", [1, 64, 10_000])
def test_texts_run_together_agree_with_texts_alone(engine, tokens):
    with opened(engine, threads=1, tokens=tokens) as (batcher, _):
        together = encoded(batcher, TEXTS)
    for text, row in zip(TEXTS, together, strict=True):
        alone = engine.text(text)
        np.testing.assert_allclose(row[: len(alone.vector)], alone.vector, atol=1e-5)


def test_texts_that_wait_run_together_within_the_tokens_of_a_run(engine):
    with opened(engine, threads=1, tokens=128) as (batcher, metrics):
        encoded(batcher, TEXTS)
        batcher.close()
        eventually(
            lambda: value(generate_latest(metrics).decode(), "chorus_texts_together_sum") == len(TEXTS)
        )
    text = generate_latest(metrics).decode()
    assert value(text, "chorus_texts_together_count") < len(TEXTS) / 2
    longest = max(len(engine.tokenizer.encode(text)) for text in TEXTS)
    assert value(text, 'chorus_texts_together_bucket{le="20.0"}') == value(
        text, "chorus_texts_together_count"
    )
    assert 20 * longest > 128


def test_threads_of_a_cpu_share_what_waits(engine):
    with opened(engine, threads=4, tokens=100_000) as (batcher, metrics):
        encoded(batcher, TEXTS)
    text = generate_latest(metrics).decode()
    assert value(text, "chorus_texts_together_count") >= 4


@pytest.mark.parametrize("tokens", [0, 64])
def test_rows_land_some_at_a_time_while_others_wait(engine, tokens):
    async def run(batcher):
        landed, rows = set(), [batcher.encode(text) for text in TEXTS]
        for each in rows:
            each.add_done_callback(lambda _: landed.add(sum(row.done() for row in rows)))
        await asyncio.gather(*rows)
        return landed, rows

    with opened(engine, threads=1, tokens=tokens) as (batcher, _):
        landed, rows = asyncio.run(run(batcher))
    assert len(landed) < len(TEXTS)
    for text, row in zip(TEXTS, rows, strict=True):
        np.testing.assert_allclose(
            row.result()[: engine.manifest.dimension], engine.text(text).vector, atol=1e-5
        )


def test_a_text_that_nobody_waits_behind_is_handed_over_at_once(engine):
    async def run(batcher):
        return [await batcher.encode(text) for text in TEXTS[:3]]

    with opened(engine, threads=1) as (batcher, metrics):
        assert len(asyncio.run(run(batcher))) == 3
    assert metrics.waiting.value == 0
    assert value(generate_latest(metrics).decode(), 'chorus_queue_duration_seconds_count{line="texts"}') == 3


def test_a_batch_takes_more_texts_abreast_than_threads_that_run_them_alone(engine):
    found = []
    for tokens in (0, 8_192):
        with opened(engine, threads=2, tokens=tokens) as (batcher, _):
            found.append(batcher.abreast)
    assert found == [4, 128]


def test_what_waits_is_counted(engine):
    async def run(batcher):
        for text in TEXTS[:4]:
            batcher.encode(text)

    with opened(engine, threads=0) as (batcher, metrics):
        asyncio.run(run(batcher))
    assert metrics.waiting.value == 4
    assert metrics.tokens_waiting.value == sum(2 + len(text) // 4 for text in TEXTS[:4])


@given(st.lists(st.text(max_size=300), min_size=1, max_size=20))
def test_texts_that_come_together_get_the_verdict_of_as_many_that_come_alone(engine, texts):
    """Behind another one, for nobody is refused where nothing waits."""

    async def run(batcher):
        assert batcher.takes(texts)
        batcher.encode("the first")
        together, alone = batcher.takes(texts), []
        for text in texts:
            alone.append(batcher.takes([text]))
            if alone[-1]:
                batcher.encode(text)
        return together, all(alone)

    with opened(engine, threads=0, most=100) as (batcher, _):
        together, alone = asyncio.run(run(batcher))
    assert together == alone


def test_nothing_waits_once_all_are_encoded_or_nobody_wants_them(engine):
    async def run(batcher):
        rows = [batcher.encode(text) for text in TEXTS]
        for row in rows[::2]:
            row.cancel()
        await asyncio.gather(*rows[1::2])

    with opened(engine) as (batcher, metrics):
        asyncio.run(run(batcher))
        eventually(lambda: metrics.tokens_waiting.value == metrics.waiting.value == 0)


def test_a_text_that_cannot_be_encoded_fails_alone(engine):
    with opened(engine) as (batcher, _):
        with pytest.raises(TypeError):
            encoded(batcher, ["\ud800"])
        assert len(encoded(batcher, ["red", "blue", "green"])) == 3
