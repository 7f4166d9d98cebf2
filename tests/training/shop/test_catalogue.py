from datetime import timedelta

import numpy as np
import polars as pl

from training.shop.catalogue import SCHEMA, START, Catalogue, stock
from training.shop.vocabulary import Vocabulary


def test_the_table_has_the_promised_columns(catalogue: Catalogue):
    assert catalogue.frame.schema == SCHEMA
    assert catalogue.frame["item_id"].to_list()[:2] == ["i0001", "i0002"]


def test_titles_are_unique_and_descriptions_nearly(catalogue: Catalogue):
    assert catalogue.frame["title"].n_unique() == len(catalogue.frame)
    assert catalogue.frame["description"].n_unique() > 0.98 * len(catalogue.frame)


def test_categories_are_equally_stocked(catalogue: Catalogue):
    assert set(catalogue.frame["category"].value_counts()["count"]) == {20}


def test_three_quarters_are_older_than_the_log_and_the_rest_appear_during_it(catalogue: Catalogue):
    published = catalogue.frame["published"]
    assert (published < START).sum() == 300
    assert published.max() < START + timedelta(days=35)
    assert (catalogue.published < 0).sum() == 300


def test_prices_lie_in_the_range_of_the_category(catalogue: Catalogue):
    for product, price in zip(catalogue.products, catalogue.frame["price"], strict=True):
        low, high = product.category.price
        assert low - 0.26 <= price <= high + 0.5


def test_dear_brands_are_dear(words: Vocabulary, catalogue: Catalogue):
    level = pl.DataFrame(
        {"tier": [words.tiers[p.brand] for p in catalogue.products], "level": catalogue.level}
    )
    means = level.group_by("tier").mean().sort("tier")["level"].to_list()
    assert means == sorted(means)
    assert means[2] - means[0] > 0.3


def test_an_item_has_two_to_four_tags(catalogue: Catalogue):
    assert set(catalogue.frame["tags"].list.len()) == {2, 3, 4}


def test_a_facet_is_a_column_of_the_codes(words: Vocabulary, catalogue: Catalogue):
    names = [words.category[code].name for code in catalogue.facet("category")]
    assert names == catalogue.frame["category"].to_list()


def test_a_tiny_shop_sells_every_category(words: Vocabulary):
    tiny = stock(np.random.default_rng(0), words, items=20, days=5)
    assert tiny.frame["category"].n_unique() == 20
