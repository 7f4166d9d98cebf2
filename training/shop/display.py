"""Which items a visitor is shown: a mixture of what suits them, what is popular, new, asked for, and chance."""

import numpy as np

from training.shop.product import ANYTHING, Codes, Floats, Ints
from training.shop.searches import Searches, grade
from training.shop.shoppers import Appetite, Visits

SLOTS = 10
# Shares of the slots that are drawn by taste, popularity, newness, chance and the query.
BROWSING = (0.30, 0.22, 0.16, 0.32, 0.00)
SEARCHING = (0.08, 0.07, 0.05, 0.25, 0.55)
NEW_DAYS = 5.0


def show(rng: np.random.Generator, *, appetite: Appetite, visits: Visits, searches: Searches) -> Ints:
    """The items shown at each visit, (visits, SLOTS), all different, published, and in no order of merit."""
    chunks = [_draw(rng, _chances(appetite, visits[rows], searches.wishes[rows])) for rows in visits.chunks()]
    return rng.permuted(np.concatenate(chunks), axis=1)


def _chances(appetite: Appetite, visits: Visits, wishes: Codes) -> Floats:
    """The weight of each item, (visits, items); 0 where it is not published yet."""
    catalogue = appetite.catalogue
    appeal = appetite.everything(visits)
    live = np.isfinite(appeal)
    age = np.where(live, visits.day[:, None] - catalogue.published, 0.0)
    searching = (wishes != ANYTHING).any(axis=1, keepdims=True)
    sources = (
        np.exp(appeal),
        catalogue.popularity * live,
        np.exp(-age / NEW_DAYS) * live,
        1.0 * live,
        grade(wishes, catalogue.codes) ** 2 * live,
    )
    chances = np.zeros_like(appeal)
    for source, browsing_share, searching_share in zip(sources, BROWSING, SEARCHING, strict=True):
        share = np.where(searching, searching_share, browsing_share)
        chances += share * source / np.maximum(source.sum(axis=1, keepdims=True), 1e-12)
    return chances


def _draw(rng: np.random.Generator, chances: Floats) -> Ints:
    """SLOTS items a row by their chances, without replacement: the first arrivals of a race of exponentials."""
    with np.errstate(divide="ignore"):
        arrival = rng.standard_exponential(chances.shape) / chances
    return np.argpartition(arrival, SLOTS, axis=1)[:, :SLOTS]
