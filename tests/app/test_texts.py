import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from app.metrics import Metrics
from app.texts import Texts, digest
from model_store.bundle import Bundle
from model_store.engine import Engine


@pytest.fixture(scope="session")
def engine(bundle):
    return Engine(Bundle.open(bundle), "cpu")


@pytest.fixture
def texts(engine):
    with ThreadPoolExecutor(2) as pool:
        yield Texts(engine, pool, Metrics(), size=100)


def test_a_row_is_the_vector_and_the_outputs(texts, engine):
    rows, encoded = asyncio.run(texts.rows(["red shoes"], {}))
    expected = engine.text("red shoes")
    assert encoded == ["red shoes"]
    assert np.array_equal(rows["red shoes"], np.concatenate([expected.vector, *expected.outputs.values()]))


def test_a_text_is_encoded_once(texts):
    asyncio.run(texts.rows(["red shoes"], {}))
    assert texts.missing(["red shoes", "blue"]) == [digest("blue")]
    _, encoded = asyncio.run(texts.rows(["red shoes"], {}))
    assert encoded == []


def test_what_redis_knew_is_not_encoded(texts, engine):
    row = np.zeros(3, dtype=np.float32)
    rows, encoded = asyncio.run(texts.rows(["red shoes"], {digest("red shoes"): row}))
    assert rows["red shoes"] is row
    assert encoded == []


def test_a_text_gives_the_same_row_alone_and_among_others(texts, engine):
    with ThreadPoolExecutor(1) as pool:
        alone = Texts(engine, pool, Metrics(), size=100)
        single, _ = asyncio.run(alone.rows(["red shoes"], {}))
    many, _ = asyncio.run(texts.rows(["blue", "red shoes", "a much longer text about running shoes"], {}))
    assert np.array_equal(single["red shoes"], many["red shoes"])
