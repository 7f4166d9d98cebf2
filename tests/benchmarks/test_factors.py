import numpy as np
import pytest

from benchmarks.factors import PULL, Factors, Ratings, biases, factorised, means


@pytest.fixture
def ratings():
    """Two kinds of users, each of whom likes one half of the items: means say nothing."""
    users, items = (part.ravel() for part in np.meshgrid(np.arange(30), np.arange(20), indexing="ij"))
    labels = np.where(users % 2 == items % 2, 5.0, 1.0)
    order = np.random.default_rng(0).permutation(len(users))
    train, asked = order[100:], order[:100]
    return tuple(Ratings(users[part], items[part], labels[part]) for part in (train, asked))


def error(values, asked) -> float:
    return float(np.sqrt(np.square(values - asked.labels).mean()))


def test_a_mean_is_pulled_towards_the_usual_one():
    train = Ratings(np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([5.0, 4.0, 3.0]))
    asked = Ratings(np.array([0, 2]), np.array([0, 2]), np.zeros(2))
    assert means(train, asked, of="all").tolist() == [4.0, 4.0]
    assert means(train, asked, of="user").tolist() == [4.0 + 1.0 / (2 + PULL), 4.0]
    assert means(train, asked, of="item").tolist() == [4.0 + 1.0 / (1 + PULL), 4.0]


@pytest.mark.parametrize("implicit", [False, True])
def test_factors_find_what_biases_cannot(ratings, implicit):
    train, asked = ratings
    found = factorised(train, asked, Factors(width=4, epochs=200, rate=0.02, decay=0.02, implicit=implicit))
    assert error(biases(train, asked), asked) > 1.9
    assert error(found, asked) < 0.5


def test_binary_factors_are_probabilities(ratings):
    train, asked = (Ratings(each.users, each.items, (each.labels - 1.0) / 4.0) for each in ratings)
    found = factorised(train, asked, Factors(width=4, epochs=200, rate=0.02, decay=0.02, binary=True))
    assert ((found > 0) & (found < 1)).all()
    assert ((found > 0.5) == (asked.labels > 0.5)).mean() > 0.95
