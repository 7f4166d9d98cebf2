import re

import numpy as np
import pytest

from training.shop.catalogue import Catalogue
from training.shop.grammar import Speech, article, capital, description, gift, pair, query, speech, title
from training.shop.product import FACETS
from training.shop.vocabulary import Vocabulary


def wish(asked: tuple[str | None, ...]) -> dict[str, str]:
    return {facet: value for facet, value in zip(FACETS, asked, strict=True) if value is not None}


def test_a_capital_placeholder_is_the_word_with_a_capital():
    assert (
        "{Kind}, {kind}".format_map(Speech(kind="espresso machine")) == "Espresso machine, espresso machine"
    )


def test_a_placeholder_that_nobody_fills_is_an_error():
    with pytest.raises(KeyError):
        "{nothing}".format_map(Speech(kind="wok"))


@pytest.mark.parametrize(("noun", "said"), [("wok", "a wok"), ("oat biscuit", "an oat biscuit")])
def test_an_article_follows_the_sound(noun: str, said: str):
    assert article(noun) == said


def test_a_capital_leaves_the_rest_alone():
    assert capital("iPod by Kiro") == "IPod by Kiro"


def test_a_pair_is_never_the_same_twice():
    rng = np.random.default_rng(0)
    assert all(len(set(pair(rng, "abc"))) == 2 for _ in range(50))


def test_plural_kinds_are_spoken_of_in_the_plural(catalogue: Catalogue):
    rng = np.random.default_rng(0)
    for product in catalogue.products[:50]:
        said = "{this} {is}".format_map(speech(rng, product))
        assert said == ("these are" if product.kind.plural else "this is")


def test_every_template_of_every_category_can_be_filled(words: Vocabulary, catalogue: Catalogue):
    rng = np.random.default_rng(0)
    shared = [*words.descriptions.openers, *words.queries.plain]
    for product in catalogue.products:
        for template in (
            *shared,
            *product.category.about,
            *product.category.praise,
            *product.category.faults,
        ):
            assert "{" not in template.format_map(speech(rng, product))


def test_a_title_names_brand_and_kind_and_is_not_taken(words: Vocabulary, catalogue: Catalogue):
    rng, taken = np.random.default_rng(0), dict[str, None]()
    for product in catalogue.products:
        made = title(rng, product, words, taken)
        assert made not in taken
        assert product.brand in made
        assert product.kind.name in made.lower()
        taken[made] = None


def test_a_crowded_kind_does_not_run_out_of_titles(words: Vocabulary, catalogue: Catalogue):
    rng, taken = np.random.default_rng(0), set[str]()
    for _ in range(1500):
        taken.add(title(rng, catalogue.products[0], words, taken))
    assert len(taken) == 1500


def test_title_and_description_tell_colour_material_and_style(words: Vocabulary, catalogue: Catalogue):
    rng = np.random.default_rng(0)
    for product in catalogue.products:
        made = title(rng, product, words, ())
        text = f"{made} {description(rng, product, made, words)}".lower()
        assert product.colour is None or re.search(rf"\b{product.colour}\b", text)
        assert product.material.lower() in text
        assert product.style in made or any(said.lower() in text for said in words.styles[product.style])


def test_a_query_says_what_it_wishes_for(words: Vocabulary, catalogue: Catalogue):
    rng = np.random.default_rng(0)
    product = next(product for product in catalogue.products if product.colour and product.tier == "budget")
    text, asked = query(rng, product, words, ["colour", "tier"])
    assert wish(asked) == {
        "category": product.category.name,
        "kind": product.kind.name,
        "colour": product.colour,
        "tier": "budget",
    }
    assert re.fullmatch(rf"(cheap|affordable|budget) {product.colour} .+", text)


def test_a_gift_may_be_anything_of_the_category(words: Vocabulary, catalogue: Catalogue):
    product = catalogue.products[0]
    text, asked = gift(np.random.default_rng(0), product, words)
    assert wish(asked) == {"category": product.category.name}
    assert any(person in text for person in product.category.people)
