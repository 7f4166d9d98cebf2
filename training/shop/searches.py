"""Searches: a third of the visitors type what they have in mind, and items answer it more or less."""

from dataclasses import dataclass

import numpy as np

from training.shop.grammar import gift, query
from training.shop.product import ANYTHING, FACETS, Bools, Codebook, Codes, Facets, Floats, Product
from training.shop.shoppers import Appetite, Visits
from training.shop.vocabulary import Vocabulary

SEARCH_SHARE = 1 / 3
GIFT_SHARE = 0.1
FACET_COUNTS = (0.45, 0.40, 0.15)  # shares of searches that name 0, 1 and 2 facets beyond the kind
NO_WISH: Facets = (None,) * len(FACETS)
MATCH, SAME_KIND, SAME_CATEGORY = 1.0, 0.5, 0.15  # grades; 0 for the rest
CATEGORY, KIND = FACETS.index("category"), FACETS.index("kind")


@dataclass(frozen=True)
class Searches:
    """A row a visit: its `text`, None where the visitor just looks around, and its wish, (visits, len(FACETS))."""

    text: tuple[str | None, ...]
    wishes: Codes

    @property
    def typed(self) -> Bools:
        """Which visits are searches, (visits,)."""
        return np.array([text is not None for text in self.text])


def ask(rng: np.random.Generator, words: Vocabulary, *, appetite: Appetite, visits: Visits) -> Searches:
    """Draws the searches: whoever searches has an item in mind, most often one that they would like now."""
    asked: list[tuple[str | None, Facets]] = []
    for rows in visits.chunks():
        appeal = appetite.everything(visits[rows])
        targets = np.argmax(0.7 * appeal + rng.gumbel(size=appeal.shape), axis=1).tolist()
        for target, searching in zip(targets, rng.random(len(targets)) < SEARCH_SHARE, strict=True):
            product = appetite.catalogue.products[target]
            asked.append(_search(rng, words, product) if searching else (None, NO_WISH))
    return Searches(
        text=tuple(text for text, _ in asked), wishes=Codebook(words).encode(wish for _, wish in asked)
    )


def _search(rng: np.random.Generator, words: Vocabulary, target: Product) -> tuple[str, Facets]:
    if rng.random() < GIFT_SHARE:
        return gift(rng, target, words)
    named = ["brand", "style", "material"]
    if target.colour:
        named += ["colour", "colour"]  # twice as likely: people search for what they can picture
    if target.tier != "middle":
        named += ["tier", "tier"]
    count = int(rng.choice(len(FACET_COUNTS), p=FACET_COUNTS))
    facets = rng.choice(named, count, replace=False).tolist()
    return query(rng, target, words, sorted(set(facets)))


def grade(wishes: Codes, codes: Codes) -> Floats:
    """How well items answer wishes: (visits, facets), (visits or 1, items, facets) -> (visits, items)."""
    asked = wishes[:, None, :]
    met = (asked == ANYTHING) | (asked == codes)
    category, kind = met[:, :, CATEGORY], met[:, :, KIND]
    return np.select(
        [met.all(axis=2), category & kind, category], [MATCH, SAME_KIND, SAME_CATEGORY], default=0.0
    )
