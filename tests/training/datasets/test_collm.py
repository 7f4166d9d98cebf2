"""The conversion of the real files."""

import numpy as np
import pytest

from training import build
from training.datasets import tables


@pytest.fixture(scope="module")
def config(converted):
    return converted("collm")


def test_every_row_is_there_in_the_published_parts(config):
    read = tables.read(config)
    assert read.report.bad == ()
    dataset = build.build(config, read)
    assert np.bincount(dataset.requests.splits).tolist() == [33_891, 10_401, 7_331]
    likes = dataset.labels["like"]
    assert [int(likes[dataset.select(part)].sum()) for part in ("train", "validation", "test")] == [
        18_191,
        5_495,
        3_998,
    ]


def test_every_film_has_its_title_and_its_genres(config):
    items = tables.read(config).items
    first = items.row(0, named=True)
    assert first["text"] == "Shawshank Redemption, The (1994). Drama"
    assert first["attribute:decade"] == ["1990s"]
    assert items["attribute:genres"].list.len().min() > 0
