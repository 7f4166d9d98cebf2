import numpy as np
import pytest

from training.shop.display import SLOTS, show
from training.shop.product import Ints
from training.shop.searches import MATCH, Searches, ask, grade
from training.shop.shoppers import Appetite, Visits
from training.shop.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def searches(words: Vocabulary, appetite: Appetite, visits: Visits) -> Searches:
    return ask(np.random.default_rng(4), words, appetite=appetite, visits=visits)


@pytest.fixture(scope="module")
def shown(appetite: Appetite, visits: Visits, searches: Searches) -> Ints:
    return show(np.random.default_rng(5), appetite=appetite, visits=visits, searches=searches)


def test_an_impression_shows_ten_different_items(shown: Ints):
    assert shown.shape == (1500, SLOTS)
    assert all(len(set(row)) == SLOTS for row in shown.tolist())


def test_nothing_is_shown_before_it_is_published(appetite: Appetite, visits: Visits, shown: Ints):
    assert (appetite.catalogue.published[shown] <= visits.day[:, None]).all()


def test_a_search_shows_items_that_match_and_items_that_do_not(
    appetite: Appetite, searches: Searches, shown: Ints
):
    match = grade(searches.wishes, appetite.catalogue.codes[shown])[searches.typed] == MATCH
    assert 0.1 < match.mean() < 0.6


def test_what_is_shown_leans_to_taste_to_the_popular_and_to_the_new(
    appetite: Appetite, visits: Visits, searches: Searches, shown: Ints
):
    browsing = ~searches.typed
    chance = np.random.default_rng(0).integers(len(appetite.catalogue.products), size=shown.shape)
    lasting = [appetite.lasting(visits, items)[browsing].mean() for items in (shown, chance)]
    popular = [appetite.catalogue.popularity[items][browsing].mean() for items in (shown, chance)]
    assert lasting[0] > lasting[1] + 0.2
    assert popular[0] > popular[1] * 1.1
    new = (visits.day[:, None] - appetite.catalogue.published < 3) & np.isfinite(appetite.everything(visits))
    assert np.take_along_axis(new, shown, axis=1)[browsing].mean() > 1.5 * new[browsing].mean()


def test_the_best_are_not_always_on_top(appetite: Appetite, visits: Visits, shown: Ints):
    lasting = appetite.lasting(visits, shown).mean(axis=0)
    assert np.ptp(lasting) < 0.3
