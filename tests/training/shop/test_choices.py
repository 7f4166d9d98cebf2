import numpy as np
import pytest

from model_store.clock import DAYPARTS
from training.shop.choices import CLICK_RATE, Choices, choose
from training.shop.display import show
from training.shop.product import Ints
from training.shop.searches import Searches, ask
from training.shop.shoppers import Appetite, Visits
from training.shop.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def searches(words: Vocabulary, appetite: Appetite, visits: Visits) -> Searches:
    return ask(np.random.default_rng(4), words, appetite=appetite, visits=visits)


@pytest.fixture(scope="module")
def shown(appetite: Appetite, visits: Visits, searches: Searches) -> Ints:
    return show(np.random.default_rng(5), appetite=appetite, visits=visits, searches=searches)


@pytest.fixture(scope="module")
def choices(shown: Ints, appetite: Appetite, visits: Visits, searches: Searches) -> Choices:
    return choose(np.random.default_rng(6), shown, appetite=appetite, visits=visits, searches=searches)


def test_the_click_rate_is_set(choices: Choices):
    assert choices.chance.mean() == pytest.approx(CLICK_RATE, abs=0.003)
    assert 0.10 < choices.clicked.mean() < 0.14


def test_only_the_clicked_is_bought_and_only_the_bought_is_rated(choices: Choices):
    rated = ~np.isnan(choices.rating)
    assert not (choices.purchased & ~choices.clicked).any()
    assert not (rated & ~choices.purchased).any()
    assert (np.isnan(choices.dwell) == ~choices.clicked).all()
    assert set(choices.rating[rated].tolist()) <= {1.0, 2.0, 3.0, 4.0, 5.0}


def test_liked_categories_are_clicked_more_than_disliked_ones(
    choices: Choices, shown: Ints, appetite: Appetite, visits: Visits
):
    category = appetite.catalogue.facet("category")[shown]
    taste = appetite.shoppers.tastes["category"][visits.user[:, None], category]
    assert choices.chance[taste > 0.5].mean() > 4 * choices.chance[taste < -0.5].mean()


def test_a_category_is_clicked_more_at_its_part_of_the_day(
    choices: Choices, shown: Ints, appetite: Appetite, visits: Visits
):
    category = appetite.catalogue.facet("category")[shown]
    evening = DAYPARTS.index("evening")
    wanted = appetite.shoppers.wants[visits.user[:, None], evening, category]
    in_time = visits.part[:, None] == evening
    assert choices.chance[wanted & in_time].mean() > 2 * choices.chance[wanted & ~in_time].mean()


def test_what_matches_a_search_is_clicked_more(choices: Choices, searches: Searches):
    chance, match = choices.chance[searches.typed], choices.match[searches.typed]
    assert chance[match].mean() > 4 * chance[~match].mean()


def test_good_products_are_rated_higher(choices: Choices, shown: Ints, appetite: Appetite):
    rated = ~np.isnan(choices.rating)
    quality = appetite.catalogue.quality[shown][rated]
    assert np.corrcoef(quality, choices.rating[rated])[0, 1] > 0.5
