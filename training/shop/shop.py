"""The whole shop: generated from a seed, written as a folder that training reads.

<folder>/shop.toml       the project: columns, tasks, model
         items.parquet   users.parquet   events.parquet
         truth.json      what the generator knows and a model has to find out
"""

import json
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import polars as pl

from model_store.clock import DAYPARTS
from training.shop.catalogue import Catalogue, stock
from training.shop.choices import choose
from training.shop.display import SLOTS, show
from training.shop.log import log
from training.shop.product import Bools, Floats
from training.shop.searches import ask
from training.shop.shoppers import RHYTHMS, Appetite, Shoppers, gather, visit
from training.shop.vocabulary import Vocabulary, vocabulary


@dataclass(frozen=True)
class ShopperTruth:
    """`rhythm`: the part of the day that the user shops in; `wants`: the categories fancied at each part."""

    liked: list[str]
    disliked: list[str]
    brands: list[str]
    styles: list[str]
    price_level: float
    rhythm: str
    wants: dict[str, list[str]]


@dataclass(frozen=True)
class ItemTruth:
    """`price_level` runs from 0, the cheapest of the category, to 1; `quality` is a standard normal."""

    kind: str
    style: str
    material: str
    price_level: float
    quality: float


@dataclass(frozen=True)
class Truth:
    """By user id and by item id; `click_chance` goes row by row with the events."""

    users: dict[str, ShopperTruth]
    items: dict[str, ItemTruth]
    click_chance: Floats


@dataclass(frozen=True)
class Shop:
    """Three tables and the truth behind them."""

    items: pl.DataFrame
    users: pl.DataFrame
    events: pl.DataFrame
    truth: Truth


def generate(
    seed: int = 7, *, users: int = 800, items: int = 2000, impressions: int = 11_000, days: int = 35
) -> Shop:
    """Makes the shop; the same arguments make the same tables, byte for byte."""
    _check(users=users, items=items, impressions=impressions, days=days)
    words = vocabulary()
    rngs = np.random.default_rng(seed).spawn(7)  # one a step: a change in one leaves the others' draws alone
    catalogue = stock(rngs[0], words, items=items, days=days)
    shoppers = gather(rngs[1], words, users=users)
    appetite = Appetite(shoppers, catalogue)
    visits = visit(rngs[2], shoppers, visits=impressions, days=days)
    searches = ask(rngs[3], words, appetite=appetite, visits=visits)
    shown = show(rngs[4], appetite=appetite, visits=visits, searches=searches)
    choices = choose(rngs[5], shown, appetite=appetite, visits=visits, searches=searches)
    events = log(
        rngs[6], words, appetite=appetite, visits=visits, searches=searches, shown=shown, choices=choices
    )
    truth = Truth(_shoppers(shoppers, words), _items(catalogue), choices.chance.ravel())
    return Shop(catalogue.frame, shoppers.frame, events, truth)


def oracle(shop: Shop) -> Floats:
    """The true click probability of every row of `events`: no model ranks better."""
    return shop.truth.click_chance


def write(shop: Shop, folder: Path) -> Path:
    """Writes the shop into the folder, made if absent, and returns the path of its shop.toml."""
    folder.mkdir(parents=True, exist_ok=True)
    shop.items.write_parquet(folder / "items.parquet")
    shop.users.write_parquet(folder / "users.parquet")
    shop.events.write_parquet(folder / "events.parquet")
    truth = asdict(shop.truth) | {"click_chance": np.round(shop.truth.click_chance, 5).tolist()}
    (folder / "truth.json").write_text(json.dumps(truth), encoding="utf-8")
    config = folder / "shop.toml"
    config.write_text(files(__package__).joinpath("shop.toml").read_text(encoding="utf-8"), encoding="utf-8")
    return config


def _check(*, items: int, **sizes: int) -> None:
    if items < 2 * SLOTS:
        raise ValueError(
            f"items must be at least {2 * SLOTS}, so that an impression can be filled; got {items}"
        )
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} must be at least 1; got {size}")


def _shoppers(shoppers: Shoppers, words: Vocabulary) -> dict[str, ShopperTruth]:
    categories = [category.name for category in words.category]
    return {
        user: ShopperTruth(
            liked=_named(categories, shoppers.tastes["category"][row] > 0.5),
            disliked=_named(categories, shoppers.tastes["category"][row] < -0.5),
            brands=_named(list(words.tiers), shoppers.tastes["brand"][row] > 0.5),
            styles=_named(list(words.styles), shoppers.tastes["style"][row] > 0.5),
            price_level=round(float(shoppers.level[row]), 3),
            rhythm=RHYTHMS[shoppers.rhythm[row]],
            wants={part: _named(categories, shoppers.wants[row, i]) for i, part in enumerate(DAYPARTS)},
        )
        for row, user in enumerate(shoppers.frame["user_id"].to_list())
    }


def _named(names: list[str], chosen: Bools) -> list[str]:
    return [name for name, is_chosen in zip(names, chosen.tolist(), strict=True) if is_chosen]


def _items(catalogue: Catalogue) -> dict[str, ItemTruth]:
    return {
        item: ItemTruth(
            kind=product.kind.name,
            style=product.style,
            material=product.material,
            price_level=round(product.level, 3),
            quality=round(float(quality), 3),
        )
        for item, product, quality in zip(
            catalogue.frame["item_id"].to_list(), catalogue.products, catalogue.quality, strict=True
        )
    }
