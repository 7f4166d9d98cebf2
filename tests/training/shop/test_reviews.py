import numpy as np
import pytest

from training.shop.catalogue import Catalogue
from training.shop.reviews import review, sentiment
from training.shop.vocabulary import Vocabulary


@pytest.mark.parametrize("rating", [1, 2, 3, 4, 5])
def test_a_review_names_the_kind_and_leaves_no_gap(words: Vocabulary, catalogue: Catalogue, rating: int):
    rng = np.random.default_rng(rating)
    for product in catalogue.products:
        text = review(rng, product, rating, words)
        assert product.kind.name in text.lower()
        assert "{" not in text


def test_only_bad_reviews_are_all_faults_and_only_good_ones_all_praise(
    words: Vocabulary, catalogue: Catalogue
):
    rng = np.random.default_rng(0)
    product = next(product for product in catalogue.products if product.category.name == "books")
    for rating, absent in {
        1: product.category.praise,
        4: product.category.faults,
        5: product.category.faults,
    }.items():
        for _ in range(30):
            text = review(rng, product, rating, words).lower()
            assert not any(clause.lower() in text for clause in absent)


def test_a_rating_of_three_is_neither_good_nor_bad():
    assert [sentiment(rating) for rating in (1, 2, 3, 4, 5)] == [0, 0, None, 1, 1]
