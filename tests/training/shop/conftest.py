import numpy as np
import pytest

from training.shop import Shop, generate
from training.shop.catalogue import Catalogue, stock
from training.shop.shoppers import Appetite, Visits, gather, visit
from training.shop.vocabulary import Vocabulary, vocabulary


@pytest.fixture(scope="session")
def words() -> Vocabulary:
    return vocabulary()


@pytest.fixture(scope="session")
def shop() -> Shop:
    return generate(3, users=150, items=600, impressions=2500)


@pytest.fixture(scope="session")
def catalogue(words: Vocabulary) -> Catalogue:
    return stock(np.random.default_rng(1), words, items=400, days=35)


@pytest.fixture(scope="session")
def appetite(words: Vocabulary, catalogue: Catalogue) -> Appetite:
    return Appetite(gather(np.random.default_rng(2), words, users=100), catalogue)


@pytest.fixture(scope="session")
def visits(appetite: Appetite) -> Visits:
    return visit(np.random.default_rng(3), appetite.shoppers, visits=1500, days=35)
