"""Weights found for a goal: on heads whose worth is known, and on a trained network as it is served."""

import json

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from app.outcome import Outcomes
from app.slate import Columns, Slate
from model_store.clock import Clock
from model_store.fusion import Fusion
from training import fusion
from training.fusion import Search, crossed, mapped, scores, stack
from training.goal import Goal, Term
from training.predict import predict, represent
from training.sections import FusionConfig

METHODS = ("weighted_sum", "weighted_product", "stacking")
LISTS, LENGTH = 200, 6


def goal(labels: np.ndarray, written: str = "click:ndcg@10") -> Goal:
    groups = np.arange(len(labels)) // LENGTH
    return Goal((Term(written, 1.0, np.arange(len(labels)), labels > 0, groups, groups),))


def made(worth: dict[str, float], seed: int = 0) -> tuple[dict[str, np.ndarray], Goal]:
    """Chances that heads of known worth tell, and the clicks: the log odds are Σ worth · logit, and no more."""
    random = np.random.default_rng(seed)
    logits = {name: random.normal(size=LISTS * LENGTH) for name in worth}
    odds = sum(worth[name] * logits[name] for name in worth) - 1.0
    return {name: expit(each) for name, each in logits.items()}, goal(
        random.random(LISTS * LENGTH) < expit(odds)
    )


# where one head decides


@pytest.mark.parametrize("method", METHODS)
def test_the_weight_goes_to_the_head_that_alone_decides(method):
    values, wanted = made({"click": 3.0, "noise": 0.0, "static": 0.0})
    weights = Search(values, wanted).learned(method, FusionConfig()).fusion.weights
    assert weights["click"] == 1.0
    assert max((weight for name, weight in weights.items() if name != "click"), default=0.0) < 0.12


@pytest.mark.parametrize("method", METHODS)
def test_a_head_that_tells_the_contrary_gets_no_weight(method):
    values, wanted = made({"click": 2.0, "wrong": -2.0})
    assert Search(values, wanted).learned(method, FusionConfig()).fusion.weights == {"click": 1.0}


# where several do


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", range(3))
def test_what_is_found_is_never_worse_than_equal_weights_each_head_alone_or_what_is_configured(method, seed):
    config = FusionConfig(weights={"click": 1.0, "time": 0.1})
    values, wanted = made({"click": 1.0, "time": 0.7, "rating": 0.0}, seed)
    search = Search(values, wanted)
    found = search.learned(method, config)
    assert found.value >= search.judge(found.fusion.method, dict.fromkeys(values, 1.0)).value
    if method != "stacking":
        tried = dict(search.plain(config))
        others = [tried[f"{name} alone"].value for name in values]
        assert found.value >= max(others)
        assert found.value >= search.judge(method, config.weights).value


def test_the_spread_of_a_heads_values_does_not_hide_what_it_tells():
    values, wanted = made({"click": 1.0, "purchase": 1.0})
    rare = {**values, "purchase": values["purchase"] / 1000.0}
    search = Search(rare, wanted)
    weights = search.learned("weighted_sum", FusionConfig()).fusion.weights
    assert 0.0002 < weights["click"] / weights["purchase"] < 0.005
    assert (
        search.learned("weighted_sum", FusionConfig()).value
        > search.judge("weighted_sum", {"click": 1.0}).value
    )


def test_a_head_that_is_constant_takes_no_part():
    values, wanted = made({"click": 2.0})
    for method in METHODS:
        search = Search({**values, "still": np.full(LISTS * LENGTH, 0.3)}, wanted)
        assert search.learned(method, FusionConfig()).fusion.weights == {"click": 1.0}


# on unseen requests


def test_weights_of_noise_gain_on_the_requests_they_were_found_on_and_not_on_others():
    values, wanted = made(dict.fromkeys(map(str, range(12)), 0.0))
    found = Search(values, wanted).all(FusionConfig())["weighted_sum"]
    equal = Search(values, wanted).judge("weighted_sum", dict.fromkeys(values, 1.0)).value
    unseen = crossed(FusionConfig(), values, wanted)
    assert found.value > equal + 0.02
    assert unseen["weighted_sum"] < equal + 0.02
    assert unseen["equal weights"] == pytest.approx(equal, abs=1e-3)


def test_too_few_requests_for_folds_leave_the_unseen_undefined():
    values, wanted = made({"click": 1.0})
    few = Goal((wanted.terms[0].part(wanted.terms[0].requests < 3),))
    assert all(np.isnan(value) for value in crossed(FusionConfig(), values, few).values())


# stacking


def test_stacking_is_the_logistic_regression_where_no_slope_is_negative():
    values, wanted = made({"click": 1.5, "time": 0.8})
    parts = np.stack([values["click"], values["time"]]) - 0.5
    slopes, _ = stack(parts, wanted)
    plain = LogisticRegression(C=1.0 / (2.0 * fusion.RIDGE * parts.shape[1])).fit(
        parts.T, wanted.terms[0].labels
    )
    np.testing.assert_allclose(slopes, plain.coef_[0], rtol=1e-3)


def test_stacking_is_served_in_the_form_that_fits_better():
    random = np.random.default_rng(0)
    values = {name: random.random(LISTS * LENGTH) ** 3 + 1e-4 for name in ("click", "purchase")}
    chance = np.clip(values["click"] * values["purchase"], 0, 1)
    search = Search(values, goal(random.random(LISTS * LENGTH) < chance))
    assert search.stacked().fusion.method == "weighted_product"


# as it is trained, told and served


@pytest.fixture(scope="module")
def said(bench):
    represented = represent(bench.network, bench.dataset, bench.texts)
    return {
        split: predict(bench.network, bench.dataset, represented, split) for split in ("validation", "test")
    }


CONFIG = FusionConfig(goal={"click:ndcg@10": 1.0, "query_match:auc": 0.5}, weights={"click": 1.0})


def test_the_best_on_unseen_requests_is_taken_unless_a_method_is_named(bench, said):
    found = fusion.find(CONFIG, bench.dataset, said["validation"])
    told, equal = found["fusions"], found["fusions"]["equal weights"]
    assert told[found["chosen"]]["validation"] >= equal["validation"]
    assert told[found["chosen"]]["unseen"] >= equal["unseen"]
    assert {*METHODS, "equal weights", "as configured", "click alone", "time alone"} <= set(told)
    named = fusion.find(CONFIG.model_copy(update={"method": "stacking"}), bench.dataset, said["validation"])
    assert named["chosen"] == "stacking"
    assert named["fusions"]["stacking"] == found["fusions"]["stacking"]
    assert fusion.chosen(named).weights == named["fusions"]["stacking"]["weights"]


def test_only_the_validation_part_decides(bench, said):
    found = fusion.find(CONFIG, bench.dataset, said["validation"])
    labels = {name: each.copy() for name, each in bench.dataset.labels.items()}
    for name in ("click", "query_match"):
        labels[name][bench.dataset.select("test")] = 0.0
    blind = type(bench.dataset)(**{**vars(bench.dataset), "labels": labels})
    assert fusion.find(CONFIG, blind, said["validation"]) == found


def test_the_test_part_is_told_beside_it_with_the_gain_over_equal_weights(bench, said):
    found = json.loads(json.dumps(fusion.find(CONFIG, bench.dataset, said["validation"])))
    found["chosen"] = "click alone"  # which equal weights never are
    tested = fusion.tested(found, bench.dataset, said["test"])
    values = mapped(bench.dataset, said["test"])
    goal = Goal.of(CONFIG.goal, bench.dataset, said["test"], "test")
    clicks = Fusion("weighted_sum", {"click": 1.0})
    assert tested["fusions"]["click alone"]["test"] == goal.value(scores(clicks, values))
    gains = tested["gains"]
    chosen, equal = (tested["fusions"][name]["test"] for name in (found["chosen"], "equal weights"))
    total = (gains["click:ndcg@10"]["mean"] + 0.5 * gains["query_match:auc"]["mean"]) / 1.5
    assert total == pytest.approx(chosen - equal)
    assert chosen != equal
    assert gains["query_match:auc"] == {**gains["query_match:auc"], "half": None, "units": 1}
    assert gains["click:ndcg@10"]["half"] > 0


def test_a_number_after_a_click_is_weighed_as_its_expected_value(opened, bench, said):
    found, dwell = said["test"], opened.manifest.task("dwell")
    assert dwell.given == "click"
    expected = found.values["click"][:, 0].astype(np.float64) * found.values["dwell"][:, 0]
    np.testing.assert_allclose(
        mapped(bench.dataset, found)["dwell"], np.clip(expected / dwell.high, 0, 1), atol=1e-6
    )


@pytest.mark.parametrize("form", ["weighted_sum", "weighted_product"])
def test_the_score_is_bit_for_bit_that_of_the_service(opened, bench, said, form):
    manifest, dataset, found = opened.manifest, bench.dataset, said["test"]
    weights = {"click": 1.0, "dwell": 0.3, "time": 0.2, "rating": 0.7}
    outcomes = Outcomes(manifest, manifest.online_tasks, Clock(manifest.timezone))
    outputs = np.concatenate([found.values[task.name] for task in manifest.online_tasks], axis=1)
    size = len(outputs)
    parts = (np.zeros((size, 4), np.float32),) * 4
    slate = Slate(
        np.arange(size),
        Columns(("",) * size, parts, np.zeros(size), {}, {}, outputs, np.zeros((size, 0), np.uint16)),
        np.arange(size),
    )
    times = dataset.requests.times[dataset.requests.owners[found.rows]]
    served = outcomes.fuse(outputs, slate, Fusion(form, weights), outcomes.buckets(times)).scores
    np.testing.assert_array_equal(scores(Fusion(form, weights), mapped(dataset, found)), served)
