"""What visitors do with what they are shown: the true chance of a click, and all that may follow one."""

from dataclasses import dataclass

import numpy as np

from training.shop.catalogue import Catalogue
from training.shop.product import Bools, Floats, Ints
from training.shop.searches import MATCH, Searches, grade
from training.shop.shoppers import Appetite, Visits

CLICK_RATE = 0.12
ACCIDENTS = 0.02  # share of rows that are clicked or not by a coin of CLICK_RATE, whatever they show
NEWNESS, NEW_DAYS = 1.6, 4.0
QUALITY = 0.15  # a little of an item's quality can be guessed from its picture
POSITION = -0.04  # a slot further down
RATED_SHARE = 0.6  # of purchases
QUERY, QUERY_CENTRE = 4.0, 0.6  # of a grade of 1; a search for other things puts people off


@dataclass(frozen=True)
class Choices:
    """All (visits, slots): `chance` is the truth behind `clicked`; dwell seconds and ratings are NaN where absent."""

    chance: Floats
    match: Bools
    clicked: Bools
    dwell: Floats
    purchased: Bools
    rating: Floats


def choose(
    rng: np.random.Generator, shown: Ints, *, appetite: Appetite, visits: Visits, searches: Searches
) -> Choices:
    """Draws what happens at each row of the items shown."""
    match = grade(searches.wishes, appetite.catalogue.codes[shown])
    chance = _chance(shown, match, appetite, visits, searches)
    clicked = rng.random(shown.shape) < chance
    quality = appetite.catalogue.quality[shown]
    lasting = appetite.lasting(visits, shown)
    taste = (lasting - lasting.mean()) / lasting.std()
    purchased = clicked & (rng.random(shown.shape) < _purchase(appetite.catalogue, shown, taste))
    rated = purchased & (rng.random(shown.shape) < RATED_SHARE)
    rating = 2.7 + 0.5 * taste + 1.0 * quality + 0.6 * rng.standard_normal(shown.shape)
    return Choices(
        chance=chance,
        match=match == MATCH,
        clicked=clicked,
        dwell=np.where(clicked, _dwell(rng, appetite.catalogue, shown, taste), np.nan),
        purchased=purchased,
        rating=np.where(rated, np.clip(np.round(rating), 1.0, 5.0), np.nan),
    )


def _chance(shown: Ints, match: Floats, appetite: Appetite, visits: Visits, searches: Searches) -> Floats:
    """The true probability of a click, (visits, slots)."""
    catalogue = appetite.catalogue
    age = visits.day[:, None] - catalogue.published[shown]
    logits = (
        appetite.lasting(visits, shown)
        + appetite.passing(visits, shown)
        + QUERY * (match - QUERY_CENTRE) * searches.typed[:, None]
        + NEWNESS * np.exp(-age / NEW_DAYS)
        + QUALITY * catalogue.quality[shown]
        + POSITION * np.arange(shown.shape[1])
    )
    return (1.0 - ACCIDENTS) * _sigmoid(logits + _intercept(logits)) + ACCIDENTS * CLICK_RATE


def _intercept(logits: Floats) -> float:
    """The constant that makes CLICK_RATE of the rows clicks, by bisection."""
    low, high = -20.0, 20.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if _sigmoid(logits + middle).mean() > CLICK_RATE else (middle, high)
    return (low + high) / 2


def _purchase(catalogue: Catalogue, shown: Ints, taste: Floats) -> Floats:
    """The chance that a click becomes a purchase: taste and quality speak for it, a high price against it."""
    price = np.log(catalogue.frame["price"].to_numpy())[shown]
    return _sigmoid(-1.9 + 0.6 * taste + 0.4 * catalogue.quality[shown] - 0.3 * (price - 3.7))  # e^3.7 = 40


def _dwell(rng: np.random.Generator, catalogue: Catalogue, shown: Ints, taste: Floats) -> Floats:
    """Seconds on the item's page: long texts and well-liked things hold people."""
    glance = np.array([product.category.dwell for product in catalogue.products])[shown]
    seconds = glance * np.exp(0.3 * taste + 0.35 * rng.standard_normal(shown.shape))
    return np.asarray(np.round(np.clip(seconds, 1.0, 900.0), 1))


def _sigmoid(logits: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-logits)))
