import asyncio
from contextlib import contextmanager

import numpy as np
import pytest

from app.batcher import Batcher
from app.errors import Overloaded
from app.metrics import Metrics
from app.texts import Texts, digest
from model_store.bundle import Bundle
from model_store.engine import Engine

WAITING, MOST = 10, 30  # texts of three tokens


@pytest.fixture(scope="session")
def engine(bundle):
    return Engine(Bundle.open(bundle), "cpu")


@contextmanager
def opened(engine, threads=2, kept=None):
    """`kept`: a list of (digest, row) that is to be filled."""
    batcher, kept = (
        Batcher(engine, metrics := Metrics(), threads=threads, most=MOST),
        [] if kept is None else kept,
    )
    try:
        yield Texts(batcher, metrics, size=100, keep=lambda *each: kept.append(each)), metrics
    finally:
        batcher.close()


@pytest.fixture
def texts(engine):
    with opened(engine) as (texts, _):
        yield texts


def test_a_row_is_the_vector_and_the_outputs(texts, engine):
    rows = asyncio.run(texts.rows(["red shoes"], {}))
    expected = engine.text("red shoes")
    assert np.array_equal(rows["red shoes"], np.concatenate([expected.vector, *expected.outputs.values()]))


def test_a_text_is_encoded_once(engine):
    with opened(engine) as (texts, metrics):
        asyncio.run(texts.rows(["red shoes"], {}))
        assert texts.missing(["red shoes", "blue"]) == [digest("blue")]
        asyncio.run(texts.rows(["red shoes"], {}))
    assert metrics.encodes.labels("text").value == 1


def test_what_redis_knew_is_neither_encoded_nor_kept_again(engine):
    row, kept = np.zeros(3, dtype=np.float32), []
    with opened(engine, kept=kept) as (texts, metrics):
        rows = asyncio.run(texts.rows(["red shoes"], {digest("red shoes"): row}))
    assert rows["red shoes"] is row
    assert metrics.encodes.labels("text").value == 0
    assert not kept


def test_a_hundred_who_ask_at_once_share_one_run(engine):
    kept = []
    with opened(engine, kept=kept) as (texts, metrics):

        async def run():
            return await asyncio.gather(*(texts.rows(["red shoes"], {}) for _ in range(100)))

        answers = asyncio.run(run())
    assert metrics.encodes.labels("text").value == 1
    assert len({id(rows["red shoes"]) for rows in answers}) == 1
    assert [text for text, _ in kept] == [digest("red shoes")]


def test_where_too_many_wait_a_new_text_is_refused_and_one_under_way_is_joined(engine):
    with opened(engine, threads=0) as (texts, _):

        async def run():
            crowd = [asyncio.ensure_future(texts.rows([f"text {n}"], {})) for n in range(WAITING)]
            await asyncio.sleep(0)
            joined = asyncio.ensure_future(texts.rows(["text 7"], {}))
            with pytest.raises(Overloaded, match="try again") as refused:
                await texts.rows(["another"], {})
            assert refused.value.retry_after == 1
            assert not joined.done()
            for waiting in [*crowd, joined]:
                waiting.cancel()

        asyncio.run(run())
