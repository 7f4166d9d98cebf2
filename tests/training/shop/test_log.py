import polars as pl
import pytest

from training.shop import Shop
from training.shop.log import DEVICE_SHARES, DEVICES, SCHEMA


def test_the_table_has_the_promised_columns_and_ten_rows_an_impression(shop: Shop):
    assert shop.events.schema == SCHEMA
    rows = shop.events.group_by("impression_id").agg(
        pl.len(),
        pl.col("position").sort(),
        pl.col("user_id").n_unique(),
        pl.col("timestamp").n_unique().alias("times"),
        pl.col("query").n_unique().alias("queries"),
        pl.col("device").n_unique().alias("devices"),
    )
    assert rows["position"].to_list() == [list(range(10))] * 2500
    assert rows.select("user_id", "times", "queries", "devices").unique().rows() == [(1, 1, 1, 1)]


def test_the_log_is_in_order_of_time(shop: Shop):
    assert shop.events["timestamp"].is_sorted()


def test_most_visitors_come_by_phone_and_a_device_says_nothing_else(shop: Shop):
    visits = shop.events.group_by("device").agg(pl.len() / len(shop.events), pl.col("clicked").mean())
    shares = dict(visits.select("device", "len").iter_rows())
    assert shares.keys() == set(DEVICES)
    assert [shares[device] for device in DEVICES] == pytest.approx(DEVICE_SHARES, abs=0.04)
    assert visits["clicked"].std() < 0.03


def test_every_user_and_item_is_in_its_table(shop: Shop):
    assert set(shop.events["user_id"]) <= set(shop.users["user_id"])
    assert set(shop.events["item_id"]) <= set(shop.items["item_id"])


def test_nothing_is_shown_before_it_is_published(shop: Shop):
    joined = shop.events.join(shop.items.select("item_id", "published"), on="item_id")
    assert joined.filter(pl.col("timestamp") < pl.col("published")).is_empty()


def test_labels_are_null_where_nobody_can_know_them(shop: Shop):
    wrong = shop.events.filter(
        (pl.col("query_match").is_null() != pl.col("query").is_null())
        | (pl.col("dwell_seconds").is_null() != (pl.col("clicked") == 0))
        | (pl.col("purchased") > pl.col("clicked"))
        | (pl.col("rating").is_not_null() & (pl.col("purchased") == 0))
        | (pl.col("review").is_not_null() & pl.col("rating").is_null())
        | (
            pl.col("review_positive").is_not_null()
            != (pl.col("review").is_not_null() & (pl.col("rating") != 3))
        )
    )
    assert wrong.is_empty()


def test_some_of_the_bought_is_rated_and_some_of_the_rated_reviewed(shop: Shop):
    purchases, ratings, reviews = shop.events["purchased"].sum(), shop.events["rating"], shop.events["review"]
    assert 0.5 < ratings.count() / purchases < 0.7
    assert 0.6 < reviews.count() / ratings.count() < 0.8


def test_a_query_and_an_item_match_always_or_never(shop: Shop):
    pairs = shop.events.drop_nulls("query").group_by("query", "item_id").agg(pl.col("query_match").n_unique())
    assert pairs["query_match"].max() == 1


def test_reviews_are_varied(shop: Shop):
    reviews = shop.events["review"].drop_nulls()
    assert reviews.n_unique() > 0.98 * len(reviews)
