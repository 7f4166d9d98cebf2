"""The events table: one row an item shown, with what came of it."""

import numpy as np
import polars as pl

from training.shop.catalogue import START
from training.shop.choices import Choices
from training.shop.product import Floats, Ints, Product
from training.shop.reviews import review, sentiment
from training.shop.searches import Searches
from training.shop.shoppers import Appetite, Visits
from training.shop.vocabulary import Vocabulary

REVIEWED_SHARE = 0.7  # of ratings
DEVICES = ("phone", "desktop", "tablet")
DEVICE_SHARES = (0.6, 0.3, 0.1)
SCHEMA = pl.Schema(
    {
        "impression_id": pl.String(),
        "user_id": pl.String(),
        "item_id": pl.String(),
        "timestamp": pl.Datetime("us", "UTC"),
        "query": pl.String(),  # null where nothing was searched
        "device": pl.String(),
        "position": pl.Int64(),
        "clicked": pl.Int64(),
        "dwell_seconds": pl.Float64(),  # null unless clicked
        "purchased": pl.Int64(),
        "rating": pl.Float64(),  # null unless purchased and rated
        "review": pl.String(),  # null unless rated and reviewed
        "review_positive": pl.Int64(),  # null without a review, and for a rating of 3
        "query_match": pl.Int64(),  # null without a query
    }
)


def log(
    rng: np.random.Generator,
    words: Vocabulary,
    *,
    appetite: Appetite,
    visits: Visits,
    searches: Searches,
    shown: Ints,
    choices: Choices,
) -> pl.DataFrame:
    """The rows of all visits, by time and position."""
    count, slots = shown.shape
    visit = np.repeat(np.arange(count), slots)
    products = [appetite.catalogue.products[item] for item in shown.ravel().tolist()]
    texts, positive = _reviews(rng, words, products, choices.rating.ravel())
    seconds = int(START.timestamp()) + np.round(visits.day * 86_400).astype(np.int64)
    devices = rng.spawn(1)[0].choice(DEVICES, count, p=DEVICE_SHARES)  # the other draws stay as they are
    match = np.where(searches.typed[:, None], choices.match.astype(np.float64), np.nan)
    columns = {
        "impression_id": pl.Series([f"m{number:05d}" for number in range(1, count + 1)])[visit],
        "user_id": appetite.shoppers.frame["user_id"][visits.user[visit]],
        "item_id": appetite.catalogue.frame["item_id"][shown.ravel()],
        "timestamp": pl.Series(seconds[visit] * 1_000_000).cast(pl.Datetime("us", "UTC")),
        "query": pl.Series(searches.text, dtype=pl.String)[visit],
        "device": devices[visit],
        "position": np.tile(np.arange(slots), count),
        "clicked": choices.clicked.ravel(),
        "dwell_seconds": choices.dwell.ravel(),
        "purchased": choices.purchased.ravel(),
        "rating": choices.rating.ravel(),
        "review": pl.Series(texts, dtype=pl.String),
        "review_positive": pl.Series(positive, dtype=pl.Int64),
        "query_match": match.ravel(),
    }
    return pl.DataFrame(columns, nan_to_null=True).cast(SCHEMA)


def _reviews(
    rng: np.random.Generator, words: Vocabulary, products: list[Product], ratings: Floats
) -> tuple[list[str | None], list[int | None]]:
    """Texts and sentiments, None for the rows that nobody reviewed."""
    texts: list[str | None] = [None] * len(products)
    positive: list[int | None] = [None] * len(products)
    for row in np.flatnonzero(~np.isnan(ratings)).tolist():
        if rng.random() < REVIEWED_SHARE:
            texts[row] = review(rng, products[row], int(ratings[row]), words)
            positive[row] = sentiment(int(ratings[row]))
    return texts, positive
