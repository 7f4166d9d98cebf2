from dataclasses import replace

import numpy as np
import pytest

from tests.training import toy
from training.baselines import SHRINK, baselines
from training.dataset import Dataset
from training.evaluate import impressions
from training.metrics import binary, quantile


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return toy.made()


@pytest.fixture(scope="module")
def found(dataset):
    return baselines(dataset, "test")


def impression_auc(dataset: Dataset, scores: np.ndarray) -> float:
    """By hand, over the test rows with a label."""
    rows = dataset.select("test")
    labels = dataset.labels["click"][rows]
    has = ~np.isnan(labels)
    return impressions(dataset.requests.owners[rows][has], labels[has], scores[has])["impression_auc"]


def test_every_task_has_a_baseline_that_learned_nothing(dataset, found):
    by_type = {
        "binary": "constant",
        "multiclass": "class shares",
        "multilabel": "constant",
        "regression": "mean",
    }
    for task in dataset.tasks:
        assert task.name in found[by_type[task.type]], task.name


def test_popularity_counts_the_clicks_of_the_training_part(dataset, found):
    train, test = dataset.select("train"), dataset.select("test")
    clicked = [dataset.rows[row] for row in train if dataset.labels["click"][row] == 1]
    scores = np.array([float(clicked.count(item)) for item in dataset.rows[test]])
    assert found["popularity"]["click"]["impression_auc"] == impression_auc(dataset, scores)


def test_newest_ranks_by_the_time_of_publishing_and_the_ageless_last(dataset, found):
    scores = dataset.published[dataset.rows[dataset.select("test")]]
    assert found["newest"]["click"]["impression_auc"] == impression_auc(
        dataset, np.nan_to_num(scores, nan=0.0)
    )


def test_the_frequency_of_a_kind_is_its_share_of_the_history(dataset, found):
    """share:kind is the last but one column of the context."""
    scores = dataset.context[dataset.select("test"), -2].astype(np.float64)
    assert found["kind frequency"]["click"]["impression_auc"] == impression_auc(dataset, scores)


def test_the_constant_is_the_rate_of_the_training_part(dataset, found):
    rate = np.nanmean(dataset.labels["click"][dataset.select("train")])
    labels = dataset.labels["click"][dataset.select("test")]
    labels = labels[~np.isnan(labels)]
    expected = binary(labels, np.full(len(labels), rate))
    assert {name: found["constant"]["click"][name] for name in expected} == expected
    assert found["constant"]["click"]["auc"] == 0.5


def test_no_baseline_looks_at_the_labels_that_it_is_tested_on(dataset, found):
    """With every test label turned round, rankings are turned round too: the scores are the same."""
    rows = dataset.select("test")
    turned = dataset.labels["click"].copy()
    turned[rows] = 1 - turned[rows]
    other = baselines(replace(dataset, labels={**dataset.labels, "click": turned}), "test")
    for method in ("random", "popularity", "newest", "kind frequency"):
        assert found[method]["click"]["auc"] == pytest.approx(1 - other[method]["click"]["auc"])


def test_means_are_drawn_towards_the_mean_of_all_by_five_ratings():
    rows = [
        {"user": f"u{number % 2}", "item": f"i{number % 3}", "time": float(number), "dwell": 1.0 + number % 3}
        for number in range(60)
    ]
    rows += [{"user": "new", "item": "i7", "time": 100.0 + number, "dwell": 2.0} for number in range(15)]
    dataset = toy.build(rows, toy.settings(tasks={"dwell": {"type": "regression", "label": "dwell"}}))
    found = baselines(dataset, "validation")
    train, test = dataset.select("train"), dataset.select("validation")
    labels = dataset.labels["dwell"]
    mean = labels[train].mean()
    for method, keys in (("item mean", dataset.rows), ("user mean", dataset.requests.users)):
        values = []
        for key in keys[test]:
            own = [labels[row] for row in train if keys[row] == key]
            values.append(mean + sum(label - mean for label in own) / (len(own) + SHRINK))
        rmse = np.sqrt(np.mean((labels[test] - values) ** 2))
        assert found[method]["dwell"]["rmse"] == pytest.approx(rmse)


def test_quantiles_of_training_are_a_baseline_and_those_around_a_users_mean():
    """Two users whose dwell times are far apart: one constant is far from both."""
    random = np.random.default_rng(0)
    rows = [
        {"user": f"u{at % 2}", "item": f"i{at % 3}", "time": float(at), "click": 1.0,
         "dwell": float((1 + 99 * (at % 2)) * random.exponential())}
        for at in range(400)
    ]  # fmt: skip
    read = {"type": "quantile", "label": "dwell", "transform": "log1p"}
    click = {"type": "binary", "label": "clicked"}
    dataset = toy.build(rows, toy.settings(tasks={"click": click, "dwell": read}))
    found = {
        method: table["dwell"] for method, table in baselines(dataset, "test").items() if "dwell" in table
    }
    labels, train, test = dataset.labels["dwell"], dataset.select("train"), dataset.select("test")
    levels = np.expm1(np.quantile(np.log1p(labels[train]), (0.1, 0.5, 0.9)))
    expected = quantile(labels[test], np.tile(levels, (len(test), 1)), (0.1, 0.5, 0.9))
    assert {name: found["constant"][name] for name in expected} == pytest.approx(expected)
    assert set(found) == {"constant", "item mean", "user mean", "kind mean"}
    assert found["user mean"]["log_pinball"] < 0.8 * found["constant"]["log_pinball"]


def test_shares_of_classes_are_those_of_the_training_part_none_of_them_zero(dataset, found):
    assert 0 < found["class shares"]["time"]["log_loss"] < np.inf
    assert found["class shares"]["kind"]["accuracy"] <= 1


def test_baselines_of_data_without_users_or_times_are_those_that_there_can_be():
    sections = {"events": {"user": None, "timestamp": None, "impression": None}, "history": {"events": {}}}
    chosen = toy.settings(
        **sections, split={"by": "query"}, features={"use": ["history_size"]}, items={"time": None},
        tasks={
            "match": {"type": "binary", "inputs": "query_item", "label": "match"},
            "dwell": {"type": "regression", "inputs": "query_item", "label": "dwell"},
        },
    )  # fmt: skip
    rows = [
        {
            "item": f"i{at % 5}",
            "time": 0.0,
            "query": f"q{at % 40}",
            "match": float(at % 2),
            "dwell": float(at % 7),
        }
        for at in range(200)
    ]
    dataset = toy.build(rows, chosen)
    nothing = replace(dataset, published=np.full(toy.ITEMS, np.nan))
    methods = {"constant", "random", "popularity", "mean", "item mean", "kind mean"}
    assert set(baselines(nothing, "test")) == methods
