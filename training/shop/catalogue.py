"""The items: products with a latent quality and popularity, their words, prices and publication times."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from training.shop.grammar import description, pick, title
from training.shop.product import FACETS, Codebook, Codes, Floats, Ints, Product
from training.shop.vocabulary import Vocabulary

START = datetime(2025, 9, 1, tzinfo=UTC)  # a Monday: the first day of the log
OLD_SHARE = 0.75  # of the items are there before the log begins
OLDEST_DAYS = 240.0

SCHEMA = pl.Schema(
    {
        "item_id": pl.String(),
        "title": pl.String(),
        "description": pl.String(),
        "category": pl.String(),
        "brand": pl.String(),
        "colour": pl.String(),  # null for what has none: books, films, food ...
        "price": pl.Float64(),
        "tags": pl.List(pl.String),
        "published": pl.Datetime("us", "UTC"),
    }
)


@dataclass(frozen=True)
class Catalogue:
    """`codes`, `level`, `quality`, `popularity` and `published` (days since START) go row by row with `frame`."""

    frame: pl.DataFrame
    products: tuple[Product, ...]
    codes: Codes
    level: Floats
    quality: Floats
    popularity: Floats
    published: Floats

    def facet(self, name: str) -> Ints:
        """The codes of one facet, (items,)."""
        return self.codes[:, FACETS.index(name)]


def stock(rng: np.random.Generator, words: Vocabulary, *, items: int, days: int) -> Catalogue:
    """Fills the shop; categories and kinds come in turns, so that a tiny shop has some of each."""
    products = tuple(_product(rng, words, number) for number in rng.permutation(items).tolist())
    quality = rng.standard_normal(items)
    old = rng.permutation(items) < round(OLD_SHARE * items)
    published = np.where(old, -rng.uniform(0.0, OLDEST_DAYS, items), rng.uniform(0.0, days, items))
    return Catalogue(
        frame=_frame(rng, words, products, published),
        products=products,
        codes=Codebook(words).encode(product.facets for product in products),
        level=np.array([product.level for product in products]),
        quality=quality,
        popularity=np.exp(0.4 * quality + 0.8 * rng.standard_normal(items)),
        published=published,
    )


def _product(rng: np.random.Generator, words: Vocabulary, number: int) -> Product:
    turn, department = divmod(number, len(words.category))
    category = words.category[department]
    brand = pick(rng, category.brands)
    palette = words.palettes[category.palette]
    level = float(np.clip(rng.normal(0.2 + 0.3 * words.tiers[brand], 0.2), 0.0, 1.0))
    return Product(
        category=category,
        kind=category.kinds[turn % len(category.kinds)],
        brand=brand,
        colour=pick(rng, palette) if palette else None,
        style=pick(rng, [style for style in category.styles if style != "luxury" or level > 0.4]),
        material=pick(rng, category.materials),
        level=level,
    )


def _frame(
    rng: np.random.Generator, words: Vocabulary, products: tuple[Product, ...], published: Floats
) -> pl.DataFrame:
    titles: dict[str, None] = {}  # an ordered set
    for product in products:
        titles[title(rng, product, words, titles)] = None
    rows = [
        {
            "item_id": f"i{number:04d}",
            "title": name,
            "description": description(rng, product, name, words),
            "category": product.category.name,
            "brand": product.brand,
            "colour": product.colour,
            "price": _price(product),
            "tags": _tags(rng, product),
            "published": START + timedelta(seconds=round(day * 86_400)),
        }
        for number, (product, name, day) in enumerate(zip(products, titles, published, strict=True), start=1)
    ]
    return pl.DataFrame(rows, schema=SCHEMA)


def _price(product: Product) -> float:
    low, high = product.category.price
    price = low * float(high / low) ** product.level
    whole = round(price) if price >= 20 else round(2 * price) / 2
    return float(round(whole - 0.01, 2))


def _tags(rng: np.random.Generator, product: Product) -> list[str]:
    uses = rng.permutation(product.kind.tags)[: int(rng.integers(1, 3))].tolist()
    return [product.material, *uses, *([product.style] if rng.random() < 0.7 else [])]
