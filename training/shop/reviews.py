"""Reviews: an opening that names the kind, praise or faults as the rating has it, and perhaps a closing."""

import numpy as np

from training.shop.grammar import capital, pair, pick, speech
from training.shop.product import Product
from training.shop.vocabulary import Vocabulary

CLOSING_SHARE = 0.6


def review(rng: np.random.Generator, product: Product, rating: int, words: Vocabulary) -> str:
    """Two to four sentences whose sentiment follows the rating, 1 to 5."""
    said = speech(rng, product)
    good, better = pair(rng, product.category.praise)
    bad, worse = pair(rng, product.category.faults)
    for name, clause in {"good": good, "better": better, "bad": bad, "worse": worse}.items():
        said[name] = clause.format_map(said)
    sentences = [pick(rng, words.reviews[rating]), pick(rng, words.bodies[rating])]
    if rng.random() < CLOSING_SHARE:
        sentences.append(pick(rng, words.closings[rating]))
    return " ".join(capital(sentence.format_map(said)) for sentence in sentences)


def sentiment(rating: int) -> int | None:
    """1 for a good rating, 0 for a bad one, None for a 3."""
    return None if rating == 3 else int(rating > 3)
