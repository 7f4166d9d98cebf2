"""Bundles with tasks of users are served in tests/training/test_interests.py, where they are trained."""

import numpy as np
import pytest

from app.interests import Interests
from app.question import Ranking
from model_store.bundle import Bundle
from model_store.engine import Engine


@pytest.fixture(scope="module")
def engine(bundle):
    return Engine(Bundle.open(bundle), "cpu")


def test_a_model_without_tasks_of_users_leaves_answers_as_they_are(engine):
    answer = Ranking([], [], [], "hit")
    assert Interests(engine).added([answer], [], []) == [answer]
    assert Interests(engine).added([], [], []) == []


def test_an_engine_without_such_tasks_tells_nothing_of_any_user(engine):
    users = np.zeros((3, engine.manifest.dimension), dtype=np.float32)
    assert engine.interests(users).shape == (3, 0)
