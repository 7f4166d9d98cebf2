"""Rows held out at random: who sees what."""

import numpy as np
import polars as pl
import pytest

from model_store.features import FeatureSet
from tests.training import toy
from training import build as building
from training.chance import PARTS, parted
from training.dataset import SPLITS, Dataset
from training.errors import ConfigError
from training.sections import SplitConfig

USE = ["history_size", "appeal:3650d", "count:click+buy:3650d", "mood:4", "taste:kind"]
SECTIONS = {
    "events": {"impression": None},
    "history": {"grades": {"click": 1.0, "buy": 3.0}, "limit": 50},
    "split": {"by": "random", "folds": 4, "validation": 0.2},
    "features": {"use": USE, "windows": ["3650d"]},
}


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    chosen = toy.settings(**SECTIONS)
    rows = [{**row, "impression": None} for row in toy.log() if row["user"]]
    return building.build(chosen, toy.tables(rows, chosen))


def mine(dataset, number) -> np.ndarray:
    return dataset.rows[slice(*dataset.requests.starts[number : number + 2])]


def past(dataset, number) -> slice:
    return slice(*dataset.requests.history[number])


def test_every_row_is_in_the_test_part_of_one_fold():
    events = pl.DataFrame({"row": range(53)})
    parts = [parted(events, SplitConfig(by="random", folds=4, fold=fold))["part"] for fold in range(4)]
    tested = np.stack([part == SPLITS["test"] for part in parts])
    assert tested.sum(axis=0).tolist() == [1] * 53


def test_a_request_never_sees_the_items_that_it_asks_for(dataset):
    for number in range(len(dataset.requests)):
        seen = dataset.histories.items[past(dataset, number)]
        assert not set(seen) & set(mine(dataset, number))


def test_a_request_sees_all_else_of_its_user_in_the_training_part(dataset):
    requests, histories = dataset.requests, dataset.histories
    for number, user in enumerate(requests.users):
        whole = slice(*histories.starts[user : user + 2])
        others = ~np.isin(histories.items[whole], mine(dataset, number))
        np.testing.assert_array_equal(histories.items[past(dataset, number)], histories.items[whole][others])


def test_what_is_counted_of_an_item_leaves_out_the_row_itself_and_what_is_held_out(dataset):
    features = FeatureSet(dataset.features, dataset.clock)
    column = features.columns.index("count:click+buy:3650d")
    told = np.expm1(dataset.context[:, column]).round()
    alike = np.bincount(dataset.log.items, minlength=len(dataset.item_ids))[dataset.rows]
    own = dataset.own.sum(axis=(1, 2))
    np.testing.assert_array_equal(told, alike - own)
    train = dataset.select("train")
    assert own[train].sum() == len(dataset.log.items)
    assert own.sum() == own[train].sum()


def test_a_user_s_training_rows_make_a_few_requests(dataset):
    train = dataset.requests.of("train")
    assert np.bincount(dataset.requests.users[train]).max() <= PARTS


@pytest.mark.parametrize(
    ("sections", "said"),
    [({"features": {"use": ["item_age"]}}, "item_age needs an order of time"),
     ({"events": {"impression": "impression"}}, "rows that stand alone"),
     ({"split": {"by": "random", "fold": 5}}, "split.fold")],
)  # fmt: skip
def test_what_needs_an_order_or_lists_is_refused(sections, said):
    with pytest.raises(ConfigError, match=said):
        toy.settings(**{**SECTIONS, **sections})
