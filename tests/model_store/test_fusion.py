import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model_store.bundle import Bundle
from model_store.fusion import Fusion, Ranges
from model_store.manifest import FusionDefault, Task

VALUES = np.array([[0.5, 1.0], [0.2, 0.0]])  # click, time


def test_the_weighted_sum_by_hand():
    scores = Fusion("weighted_sum", {"click": 3.0, "time": 1.0}).score(VALUES)
    assert scores == pytest.approx([(3 * 0.5 + 0.2) / 4, 3 / 4])


def test_the_weighted_product_by_hand():
    scores = Fusion("weighted_product", {"click": 3.0, "time": 1.0}).score(VALUES)
    assert scores[0] == pytest.approx(math.exp((3 * math.log(0.5) + math.log(0.2)) / 4))
    assert scores[1] == pytest.approx(math.exp(math.log(1e-6) / 4))


def test_a_task_without_weight_does_not_count():
    with_zero = Fusion("weighted_product", {"click": 1.0, "time": 0.0}).score(VALUES[:1])
    assert with_zero == pytest.approx(VALUES[0])


weights = st.dictionaries(st.sampled_from("abc"), st.floats(0, 10), min_size=1).filter(
    lambda w: sum(w.values()) > 1e-3
)
parts = st.lists(st.floats(0, 1), min_size=3, max_size=3)


@given(weights, parts, st.sampled_from(["weighted_sum", "weighted_product"]))
def test_contributions_add_up_to_a_score_between_0_and_1(given_weights, given_parts, method):
    fusion = Fusion(method, given_weights)
    values = np.array([[part] for _, part in zip(fusion.names, given_parts, strict=False)])
    score = fusion.score(values)[0]
    total = sum(part[0] for part in fusion.contributions(values).values())
    assert -1e-9 <= score <= 1 + 1e-9
    assert total == pytest.approx(score, abs=1e-9)


def test_values_are_mapped_by_the_range_of_the_task_and_clipped():
    task = Task(name="rating", type="regression", low=1.0, high=5.0)
    click = Task(name="click", type="binary")
    mapped = Ranges([task, click]).unit(np.array([[0.0, 1.0, 3.0, 9.0], [0.0, 0.5, 1.0, 1.0]]))
    assert mapped.tolist() == [[0.0, 0.0, 0.5, 1.0], [0.0, 0.5, 1.0, 1.0]]


def test_a_bundle_without_weights_is_scored_by_its_main_task(bundle):
    manifest = Bundle.open(bundle).manifest
    silent = manifest.model_copy(update={"fusion": FusionDefault(weights={})})
    main = next(task.name for task in manifest.tasks if task.main)
    assert Fusion.default(silent).weights == {main: 1.0}


@given(st.floats(0, 1), st.floats(1, 5))
def test_a_number_after_a_click_counts_as_its_expected_value_over_everything_shown(chance, stars):
    rating = Task(name="rating", type="regression", given="click", low=1.0, high=5.0)
    mapped = Ranges([rating]).unit(np.array([[chance * stars]]))
    assert mapped[0, 0] == pytest.approx(chance * stars / 5.0)


def test_a_loss_after_a_click_counts_less_than_no_click():
    gain = Task(name="gain", type="regression", given="click", low=-3.0, high=1.0)
    assert Ranges([gain]).unit(np.array([[-3.0, 0.0, 1.0]])).tolist() == [[0.0, 0.75, 1.0]]
