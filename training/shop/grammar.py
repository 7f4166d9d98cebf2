"""Sentences from templates: titles, descriptions and queries of products.

A template's placeholders are a product's words, in lower case; a placeholder with a capital ("{Material}") starts a
sentence. {this} {it} {is} {s} ... agree with the kind, which may be plural.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from itertools import count
from typing import TypeVar

import numpy as np

from training.shop.product import FACETS, Facets, Product
from training.shop.vocabulary import Vocabulary

T = TypeVar("T")

SINGULAR = {"this": "this", "it": "it", "them": "it", "is": "is", "was": "was", "does": "does", "s": "s"}
PLURAL = {"this": "these", "it": "they", "them": "them", "is": "are", "was": "were", "does": "do", "s": ""}


def pick(rng: np.random.Generator, choices: Sequence[T]) -> T:
    """One of the choices, all equally likely."""
    return choices[int(rng.integers(len(choices)))]


def pair(rng: np.random.Generator, choices: Sequence[T]) -> tuple[T, T]:
    """Two different ones of the choices."""
    first, second = rng.choice(len(choices), size=2, replace=False)
    return choices[int(first)], choices[int(second)]


def capital(text: str) -> str:
    """The text with a capital at the start; the rest stays as it is."""
    return text[:1].upper() + text[1:]


def article(noun: str) -> str:
    """The noun with "a" or "an"."""
    return f"{'an' if noun[0].lower() in 'aeiou' else 'a'} {noun}"


class Speech(dict[str, str]):
    """The words of a template; "{Kind}" is "{kind}" with a capital."""

    def __missing__(self, key: str) -> str:
        if key[0].islower():
            raise KeyError(key)
        return capital(self[key[0].lower() + key[1:]])


def speech(rng: np.random.Generator, product: Product) -> Speech:
    """A product's words, with two of its features and two of its uses drawn."""
    feature, detail = pair(rng, product.kind.features)
    use, other = pair(rng, product.kind.uses)
    return Speech(
        PLURAL if product.kind.plural else SINGULAR,
        kind=product.kind.name,
        also=pick(rng, product.kind.also),
        a_kind=product.kind.name if product.kind.plural or product.kind.mass else article(product.kind.name),
        brand=product.brand,
        colour=product.colour or "",
        style=product.style,
        material=product.material,
        a_material=article(product.material),
        feature=feature,
        detail=detail,
        use=use,
        other=other,
    )


def title(rng: np.random.Generator, product: Product, words: Vocabulary, taken: Collection[str]) -> str:
    """A title that is not taken yet; it always names the brand and the kind."""
    return next(made for made in _titles(rng, product, words) if made not in taken)


def _titles(rng: np.random.Generator, product: Product, words: Vocabulary) -> Iterator[str]:
    templates = words.titles.works if product.kind.tails else words.titles.goods
    templates = tuple(template for template in templates if product.colour or "{colour" not in template)
    for attempt in count():
        said = speech(rng, product)
        # A crowded kind has used up its names: "Dune 2".
        volume = f" {attempt // 20 + 1}" if attempt >= 20 else ""
        said["line"] = pick(rng, words.lines) + volume
        if product.kind.tails:
            said["work"] = f"{pick(rng, words.heads)} {pick(rng, product.kind.tails)}{volume}"
        yield capital(pick(rng, templates).format_map(said))


def description(rng: np.random.Generator, product: Product, title: str, words: Vocabulary) -> str:
    """Three to five sentences; what the title leaves out (colour, style) is said here."""
    said = speech(rng, product)
    rest = [pick(rng, product.category.about)]
    if product.style not in title or rng.random() < 0.3:
        rest.append(pick(rng, words.styles[product.style]))
    if product.colour and not re.search(rf"\b{product.colour}\b", title.lower()):
        rest.append(pick(rng, words.descriptions.colours))
    if product.tier != "middle":
        rest.append(pick(rng, words.prices[product.tier]))
    order = rng.permutation(len(rest))
    sentences = [pick(rng, words.descriptions.openers), *(rest[i] for i in order)]
    return " ".join(capital(sentence.format_map(said)) for sentence in sentences)


def gift(rng: np.random.Generator, product: Product, words: Vocabulary) -> tuple[str, Facets]:
    """A search for a present: any product of the category will do."""
    person = pick(rng, product.category.people)
    return pick(rng, words.queries.gifts).format(person=person), _wish(product, "category")


def query(
    rng: np.random.Generator, product: Product, words: Vocabulary, facets: Sequence[str]
) -> tuple[str, Facets]:
    """A search for products like this one, and what it asks for: the kind and the given further facets."""
    said = speech(rng, product)
    if not facets:
        text = pick(rng, words.queries.plain).format_map(said)
    else:
        price = {"budget": words.queries.budget, "premium": words.queries.premium}.get(product.tier, ("",))
        spoken = {"tier": pick(rng, price), **{facet: said[facet] for facet in facets if facet != "tier"}}
        order = ("tier", "brand", "style", "colour", "material")  # as English puts its adjectives
        adjectives = [spoken[facet] for facet in order if facet in facets]
        text = " ".join([*adjectives, pick(rng, (said["kind"], said["also"]))])
    return text.lower(), _wish(product, "category", "kind", *facets)


def _wish(product: Product, *facets: str) -> Facets:
    return tuple(
        value if facet in facets else None for facet, value in zip(FACETS, product.facets, strict=True)
    )
