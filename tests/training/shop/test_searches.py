import numpy as np
import pytest

from training.shop.product import ANYTHING
from training.shop.searches import MATCH, SAME_CATEGORY, SAME_KIND, Searches, ask, grade
from training.shop.shoppers import Appetite, Visits
from training.shop.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def searches(words: Vocabulary, appetite: Appetite, visits: Visits) -> Searches:
    return ask(np.random.default_rng(4), words, appetite=appetite, visits=visits)


def test_a_third_of_the_visits_are_searches(searches: Searches):
    assert 0.28 < searches.typed.mean() < 0.38


def test_whoever_just_looks_around_wishes_for_nothing(searches: Searches):
    assert ((searches.wishes == ANYTHING).all(axis=1) == ~searches.typed).all()


def test_queries_are_varied(searches: Searches):
    texts = [text for text in searches.text if text]
    assert len(set(texts)) > 0.8 * len(texts)


def test_the_same_words_always_mean_the_same(searches: Searches):
    meanings: dict[str | None, tuple[int, ...]] = {}
    for text, wish in zip(searches.text, searches.wishes.tolist(), strict=True):
        assert meanings.setdefault(text, tuple(wish)) == tuple(wish), text


def test_every_search_can_be_met_by_an_item_that_is_there(
    appetite: Appetite, visits: Visits, searches: Searches
):
    live = np.isfinite(appetite.everything(visits))
    assert ((grade(searches.wishes, appetite.catalogue.codes) == MATCH) & live).any(axis=1).all()


def test_grades_fall_from_all_that_was_asked_to_nothing_of_it():
    any_ = ANYTHING
    wish = np.array([[2, 11, any_, 3, any_, any_, any_]])
    items = np.array(
        [[2, 11, 0, 3, 0, 0, 0], [2, 11, 0, 1, 0, 0, 0], [2, 12, 0, 3, 0, 0, 0], [4, 20, 0, 3, 0, 0, 0]]
    )
    assert grade(wish, items).tolist() == [[MATCH, SAME_KIND, SAME_CATEGORY, 0.0]]


def test_a_gift_is_met_by_the_category_and_by_nothing_else():
    wish = np.array([[2, *[ANYTHING] * 6]])
    items = np.array([[2, 12, 0, 3, 0, 0, 0], [4, 20, 0, 3, 0, 0, 0]])
    assert grade(wish, items).tolist() == [[MATCH, 0.0]]
