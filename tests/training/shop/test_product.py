from dataclasses import replace

import pytest

from training.shop.product import ANYTHING, FACETS, Codebook, Product
from training.shop.vocabulary import Vocabulary


@pytest.fixture
def shoes(words: Vocabulary) -> Product:
    footwear = words.category[0]
    return Product(
        category=footwear,
        kind=footwear.kinds[0],
        brand="Strider",
        colour="red",
        style="retro",
        material="suede",
        level=0.1,
    )


def test_a_product_has_a_value_for_every_facet(shoes: Product):
    assert dict(zip(FACETS, shoes.facets, strict=True)) == {
        "category": "footwear",
        "kind": "running shoes",
        "brand": "Strider",
        "colour": "red",
        "style": "retro",
        "material": "suede",
        "tier": "budget",
    }


@pytest.mark.parametrize(
    ("level", "tier"), [(0.0, "budget"), (0.34, "middle"), (0.7, "premium"), (1.0, "premium")]
)
def test_a_tier_is_a_third_of_the_price_range(shoes: Product, level: float, tier: str):
    assert replace(shoes, level=level).tier == tier


def test_codes_name_the_values_and_none_is_anything(words: Vocabulary, shoes: Product):
    book = Codebook(words)
    product, wish = book.encode([shoes.facets, ("footwear", *[None] * 6)])
    assert [book.values[facet][code] for facet, code in zip(FACETS, product, strict=True)] == list(
        shoes.facets
    )
    assert wish.tolist() == [product[0], *[ANYTHING] * 6]


def test_a_product_without_colour_still_has_a_code(words: Vocabulary, shoes: Product):
    assert (Codebook(words).encode([replace(shoes, colour=None).facets]) >= 0).all()
