import json
import tomllib
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import ArrayLike
from sklearn.metrics import roc_auc_score

from training.shop import Shop, generate, oracle, write

TINY = {"users": 20, "items": 60, "impressions": 150}


def impression_auc(shop: Shop, scores: ArrayLike) -> float:
    """Mean AUC of the impressions that have both clicked and unclicked rows."""
    clicked = shop.events["clicked"].to_numpy().reshape(-1, 10)
    rows = zip(clicked, np.asarray(scores).reshape(-1, 10), strict=True)
    return float(np.mean([roc_auc_score(y, score) for y, score in rows if 0 < y.sum() < 10]))


def clicks_before(shop: Shop, key: Callable[[str, str], tuple[str, ...]]) -> list[int]:
    """For every row, how many clicks with the same key earlier impressions brought."""
    counts: dict[tuple[str, ...], int] = defaultdict(int)
    scores = []
    for impression in shop.events.select("user_id", "item_id", "clicked").iter_slices(10):
        keys = [key(user, item) for user, item, _ in impression.rows()]
        scores += [counts[k] for k in keys]
        for k, clicked in zip(keys, impression["clicked"], strict=True):
            counts[k] += clicked
    return scores


def test_the_same_seed_makes_the_same_bytes(tmp_path: Path):
    first, second = (write(generate(5, **TINY), tmp_path / name).parent for name in ("a", "b"))
    names = {path.name for path in first.iterdir()}
    assert names == {"items.parquet", "users.parquet", "events.parquet", "truth.json", "shop.toml"}
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)


def test_another_seed_makes_another_shop():
    one, other = generate(1, **TINY), generate(2, **TINY)
    assert not one.items.equals(other.items)
    assert not one.events.equals(other.events)


def test_more_visits_leave_the_catalogue_and_the_shoppers_alone():
    few, many = generate(1, **TINY), generate(1, **TINY | {"impressions": 300})
    assert few.items.equals(many.items)
    assert few.users.equals(many.users)
    assert few.truth.users == many.truth.users


def test_what_is_written_can_be_read_again(tmp_path: Path):
    shop = generate(1, **TINY)
    config = write(shop, tmp_path / "new" / "shop")
    tomllib.loads(config.read_text(encoding="utf-8"))
    assert pl.read_parquet(config.parent / "events.parquet").equals(shop.events)
    truth = json.loads((config.parent / "truth.json").read_text(encoding="utf-8"))
    assert truth["users"]["u0001"]["rhythm"] == shop.truth.users["u0001"].rhythm
    assert truth["items"].keys() == set(shop.items["item_id"])
    np.testing.assert_allclose(truth["click_chance"], oracle(shop), atol=1e-5)


def test_the_truth_covers_every_user_item_and_row(shop: Shop):
    assert list(shop.truth.users) == shop.users["user_id"].to_list()
    assert list(shop.truth.items) == shop.items["item_id"].to_list()
    assert oracle(shop).shape == (len(shop.events),)


def test_the_smallest_shop_can_be_made():
    shop = generate(users=1, items=20, impressions=1, days=1)
    assert len(shop.events) == 10


@pytest.mark.parametrize("size", [{"users": 0}, {"items": 19}, {"impressions": 0}, {"days": 0}])
def test_a_size_that_cannot_be_made_is_refused_by_name(size: dict[str, int]):
    with pytest.raises(ValueError, match=f"{next(iter(size))} must be at least"):
        generate(**size)


def test_there_is_much_to_learn_and_categories_alone_do_not_tell_it(shop: Shop):
    category = dict(shop.items.select("item_id", "category").iter_rows())
    best = impression_auc(shop, oracle(shop))
    by_category = impression_auc(shop, clicks_before(shop, lambda user, item: (user, category[item])))
    by_popularity = impression_auc(shop, clicks_before(shop, lambda _, item: (item,)))
    by_chance = impression_auc(shop, np.random.default_rng(0).random(len(shop.events)))
    assert 0.80 < best < 0.88
    assert 0.57 < by_category < 0.72
    assert 0.48 < by_popularity < 0.58
    assert 0.47 < by_chance < 0.53


def test_clicks_are_what_the_truth_says(shop: Shop):
    table = pl.DataFrame({"chance": oracle(shop), "clicked": shop.events["clicked"]})
    tenths = table.sort("chance").with_row_index().group_by(pl.col("index") // 2500).mean()
    np.testing.assert_allclose(tenths["clicked"], tenths["chance"], atol=0.03)


def test_evening_people_click_evening_things_in_the_evening(shop: Shop):
    evening = {user for user, truth in shop.truth.users.items() if truth.rhythm == "evening"}
    wanted = [(user, category) for user in evening for category in shop.truth.users[user].wants["evening"]]
    rows = (
        shop.events.join(shop.items.select("item_id", "category"), on="item_id", maintain_order="left")
        .with_columns(chance=oracle(shop), part=pl.col("timestamp").dt.hour() // 6)
        .join(pl.DataFrame(wanted, schema=["user_id", "category"], orient="row"), on=["user_id", "category"])
    )
    chance = dict(rows.group_by("part").agg(pl.col("chance").mean()).iter_rows())
    assert chance[3] > 2 * chance[1]


def test_a_new_product_of_a_liked_category_beats_an_old_one_of_a_disliked_category(shop: Shop):
    items = shop.items.select("item_id", "category", "published")
    rows = shop.events.with_columns(chance=oracle(shop)).join(items, on="item_id")
    fresh = (pl.col("timestamp") - pl.col("published")) < pl.duration(days=3)
    liked = [row["category"] in shop.truth.users[row["user_id"]].liked for row in rows.iter_rows(named=True)]
    disliked = [
        row["category"] in shop.truth.users[row["user_id"]].disliked for row in rows.iter_rows(named=True)
    ]
    new_liked = rows.filter(pl.Series(liked) & fresh)["chance"].mean()
    old_disliked = rows.filter(pl.Series(disliked) & ~fresh)["chance"].mean()
    assert new_liked > 5 * old_disliked


def test_rhythms_and_searches_are_shared_out(shop: Shop):
    rhythms = Counter(truth.rhythm for truth in shop.truth.users.values())
    assert set(rhythms) == {"night", "morning", "afternoon", "evening"}
    assert 0.28 < shop.events["query"].count() / len(shop.events) < 0.38
