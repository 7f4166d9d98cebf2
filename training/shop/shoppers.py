"""The shoppers: latent tastes, a day rhythm, what they fancy at which part of the day, and when they come.

Tastes are numbers a facet value: +1 liked, -1 disliked, a little noise between. Parts of the day are those of
model_store.clock, in UTC, which is the shop's local time.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from model_store.clock import DAYPARTS
from training.shop.catalogue import Catalogue
from training.shop.product import Bools, Codebook, Floats, Ints
from training.shop.vocabulary import Vocabulary

RHYTHMS = DAYPARTS  # a person is named after the part of the day that they shop in
RHYTHM_SHARES = (0.12, 0.30, 0.25, 0.33)
ACTIVE = np.array(  # (rhythm, part of the day): when each kind of person comes
    [
        [0.45, 0.08, 0.17, 0.30],
        [0.02, 0.60, 0.22, 0.16],
        [0.03, 0.20, 0.55, 0.22],
        [0.08, 0.14, 0.20, 0.58],
    ]
)
WEEKDAY_WEIGHTS = (1.0, 0.95, 0.95, 1.0, 1.1, 1.4, 1.5)  # from Monday
WEIGHTS = {"category": 1.6, "kind": 0.5, "brand": 0.7, "style": 0.7}  # of a taste of 1, in logits of a click
PRICE_WEIGHT = 1.6  # of a price that is wrong by the whole range
IN_TIME, OUT_OF_TIME = 1.3, -0.5  # of a wanted category, at its part of the day and at the others
CHUNK = 512  # visits
AGE_GROUPS = ("18-24", "25-34", "35-44", "45-54", "55-64", "65+")
CITIES = ("Aarhus", "Copenhagen", "Odense", "Malmö", "Hamburg", "Gothenburg", "Oslo", "Kiel")


@dataclass(frozen=True)
class Shoppers:
    """`tastes`: (users, values) a facet; `level`: of price; `wants`: (users, parts of the day, categories)."""

    frame: pl.DataFrame
    rhythm: Ints
    activity: Floats
    level: Floats
    tastes: dict[str, Floats]
    wants: Bools


@dataclass(frozen=True)
class Visits:
    """Who comes when, in order of time: `day` counts from the start of the log, `part` indexes DAYPARTS."""

    user: Ints
    day: Floats
    part: Ints

    def __len__(self) -> int:
        return len(self.user)

    def __getitem__(self, rows: slice | Bools) -> "Visits":
        return Visits(self.user[rows], self.day[rows], self.part[rows])

    def chunks(self) -> Iterator[slice]:
        """Rows a chunk at a time, so that a table of (visits, items) stays in tens of megabytes."""
        for start in range(0, len(self), CHUNK):
            yield slice(start, start + CHUNK)


class Appetite:
    """How much each shopper fancies each item of a catalogue, in logits of a click."""

    def __init__(self, shoppers: Shoppers, catalogue: Catalogue) -> None:
        self.shoppers = shoppers
        self.catalogue = catalogue
        self._fit = -PRICE_WEIGHT * np.abs(shoppers.level[:, None] - catalogue.level)  # (users, items)
        for facet, weight in WEIGHTS.items():
            self._fit += weight * shoppers.tastes[facet][:, catalogue.facet(facet)]
        self._timing = _timing(shoppers)
        self._category = catalogue.facet("category")

    def lasting(self, visits: Visits, items: Ints) -> Floats:
        """What no hour changes: category, kind, brand, style and price; of items (visits, slots)."""
        return np.asarray(self._fit[visits.user[:, None], items])

    def passing(self, visits: Visits, items: Ints) -> Floats:
        """What the hour of the visit adds; of items (visits, slots)."""
        return np.asarray(self._timing[visits.user[:, None], visits.part[:, None], self._category[items]])

    def everything(self, visits: Visits) -> Floats:
        """Lasting and passing, of all items, (visits, items); -inf where one is not published yet."""
        fit = self._fit[visits.user] + self._timing[visits.user, visits.part][:, self._category]
        return np.where(self.catalogue.published <= visits.day[:, None], fit, -np.inf)


def _timing(shoppers: Shoppers) -> Floats:
    """What the hour adds for each category, (users, parts, categories); strongest at the person's own hours."""
    own = shoppers.rhythm[:, None] == np.arange(len(DAYPARTS))
    strength = np.where(own, 1.25, 0.85)[:, :, None]
    wanted_ever = shoppers.wants.any(axis=1, keepdims=True)
    return np.where(shoppers.wants, IN_TIME * strength, OUT_OF_TIME * wanted_ever)


def gather(rng: np.random.Generator, words: Vocabulary, *, users: int) -> Shoppers:
    """Draws the shoppers."""
    book = Codebook(words)
    category = np.array([_interests(rng, words) for _ in range(users)])
    return Shoppers(
        frame=pl.DataFrame(
            {
                "user_id": [f"u{number:04d}" for number in range(1, users + 1)],
                "age_group": rng.choice(AGE_GROUPS, users, p=(0.14, 0.26, 0.22, 0.17, 0.12, 0.09)),
                "city": rng.choice(CITIES, users),
            }
        ),
        rhythm=rng.choice(len(RHYTHMS), users, p=RHYTHM_SHARES),
        activity=rng.lognormal(0.0, 0.5, users),
        level=rng.beta(2.0, 2.0, users),
        tastes={
            "category": category + rng.normal(0.0, 0.15, category.shape),
            "kind": rng.choice((-1.0, 0.0, 1.0), (users, len(book.values["kind"]))),
            "brand": np.array([_brands(rng, words, taste, book.values["brand"]) for taste in category]),
            "style": _favourites(rng, users, len(words.styles)),
        },
        wants=np.array([_wants(rng, words) for _ in range(users)]),
    )


def _interests(rng: np.random.Generator, words: Vocabulary) -> Floats:
    """2-4 liked categories, mostly of one world, and 2-3 disliked ones."""
    worlds = np.array([category.world for category in words.category])
    nearness = np.where(worlds == rng.choice(worlds), 4.0, 1.0)
    likes, dislikes = int(rng.integers(2, 5)), int(rng.integers(2, 4))
    liked = rng.choice(len(worlds), likes, replace=False, p=nearness / nearness.sum())
    others = np.setdiff1d(np.arange(len(worlds)), liked)
    taste = np.zeros(len(worlds))
    taste[liked] = 1.0
    taste[rng.choice(others, dislikes, replace=False)] = -1.0
    return taste


def _brands(rng: np.random.Generator, words: Vocabulary, taste: Floats, brands: list[str]) -> Floats:
    """Two liked brands and a disliked one, of those that the liked categories sell."""
    liked = [category for category, value in zip(words.category, taste, strict=True) if value > 0]
    known = sorted({brand for category in liked for brand in category.brands})
    first, second, bad = rng.choice(known, 3, replace=False)
    return np.array([float(brand in (first, second)) - float(brand == bad) for brand in brands])


def _favourites(rng: np.random.Generator, users: int, values: int) -> Floats:
    """Two liked values and a disliked one each, (users, values)."""
    row = np.zeros(values)
    row[:3] = (1.0, 1.0, -1.0)
    return rng.permuted(np.tile(row, (users, 1)), axis=1)


def _wants(rng: np.random.Generator, words: Vocabulary) -> Bools:
    """Three categories a part of the day, (parts, categories)."""
    wants = np.zeros((len(DAYPARTS), len(words.category)), dtype=np.bool_)
    for part, daypart in enumerate(DAYPARTS):
        fitting = [i for i, category in enumerate(words.category) if category.daypart == daypart]
        wants[part, rng.choice(fitting, 3, replace=False)] = True
    return wants


def visit(rng: np.random.Generator, shoppers: Shoppers, *, visits: int, days: int) -> Visits:
    """Draws the visits: active shoppers come more often, weekends are busier, everyone keeps their rhythm."""
    user = rng.choice(len(shoppers.activity), visits, p=shoppers.activity / shoppers.activity.sum())
    busy = np.resize(WEEKDAY_WEIGHTS, days)
    date = rng.choice(days, visits, p=busy / busy.sum())
    part = (rng.random((visits, 1)) > ACTIVE[shoppers.rhythm[user]].cumsum(axis=1)).sum(axis=1)
    part = np.minimum(part, len(DAYPARTS) - 1)
    day = date + (part + rng.beta(2.0, 2.5, visits)) / len(DAYPARTS)
    order = np.argsort(day, kind="stable")
    return Visits(user[order], day[order], part[order])
