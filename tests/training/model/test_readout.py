import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from model_store.manifest import Task
from training.model.readout import Readout
from training.task import TaskConfig

TASKS = (
    Task(name="click", type="binary"),
    Task(name="mood", type="multiclass", classes=("a", "b", "c")),
    Task(name="tags", type="multilabel", inputs="item", classes=("a", "b")),
    Task(name="stars", type="regression"),
    Task(name="dwell", type="regression"),
    Task(name="range", type="quantile", quantiles=(0.1, 0.5, 0.9)),
)
CONFIGS = {task.name: TaskConfig(type=task.type, label="x", inputs=task.inputs) for task in TASKS}
CONFIGS["dwell"] = TaskConfig(type="regression", label="x", transform="log1p")
CONFIGS["range"] = TaskConfig(type="quantile", label="x", transform="log1p")


@pytest.fixture
def readout() -> Readout:
    return Readout(TASKS, CONFIGS)


def served(readout: Readout, name: str, *logits: float) -> list[float]:
    return readout(name, torch.tensor([logits]))[0].tolist()


def test_a_binary_task_is_served_as_the_sigmoid_of_its_line(readout):
    assert served(readout, "click", 0.7) == pytest.approx([1 / (1 + math.exp(-0.7))])
    readout.set("click", 2.0, -1.0)
    assert served(readout, "click", 0.7) == pytest.approx([1 / (1 + math.exp(-0.4))])


def test_a_multiclass_task_is_served_as_the_softmax_at_its_temperature(readout):
    readout.set("mood", 1 / 4.0, 0.0)
    weights = [math.exp(logit / 4) for logit in (1.0, 2.0, -3.0)]
    assert served(readout, "mood", 1.0, 2.0, -3.0) == pytest.approx(
        [weight / sum(weights) for weight in weights]
    )


def test_each_label_of_a_multilabel_task_is_a_probability_of_its_own(readout):
    assert served(readout, "tags", 0.0, 3.0) == pytest.approx([0.5, 1 / (1 + math.exp(-3))])


def test_a_regression_is_served_in_its_own_unit(readout):
    readout.set("stars", 1.5, 3.0)
    assert served(readout, "stars", -1.0) == pytest.approx([1.5])


def test_a_regression_of_logarithms_is_served_in_the_unit_of_its_label(readout):
    readout.set("dwell", 0.5, 2.0)
    assert served(readout, "dwell", 1.0) == pytest.approx([math.exp(2.5) - 1])


@pytest.mark.parametrize(("logit", "value"), [(-9.0, 1.0), (9.0, 5.0), (0.0, 3.0)])
def test_a_regression_stays_inside_what_training_saw(readout, logit, value):
    readout.set("stars", 1.0, 3.0)
    readout.bound("stars", 1.0, 5.0)
    assert served(readout, "stars", logit) == [value]


def test_quantiles_are_served_in_the_unit_of_the_label_where_they_begin_and_ascending(readout):
    readout.set("range", 0.5, 2.0)
    readout.begin("range", [-1.0, 0.0, 2.0])
    unit = [math.expm1(2 + 0.5 * level) for level in (-1.0, 0.0, 2.0)]
    assert served(readout, "range", 0.0, 0.0, 0.0) == pytest.approx(unit)
    assert served(readout, "range", 1.0, 2.0, -3.0) == pytest.approx(
        [math.expm1(2 + 0.5 * level) for level in (-1.0, 0.0, 2.0)]
    )


def test_quantiles_stay_inside_what_training_saw(readout):
    readout.bound("range", 0.0, 5.0)
    assert served(readout, "range", -9.0, 1.0, 9.0) == pytest.approx([0.0, math.expm1(1), 5.0])


@given(hnp.arrays(np.float32, (3, 3), elements=st.floats(-8, 8, width=32)))
def test_quantiles_never_cross_whatever_the_head_says_and_the_calibration_shifts(drawn):
    readout = Readout(TASKS, CONFIGS)
    logits, begin, shift = drawn
    readout.begin("range", sorted(begin.tolist()))
    readout.shift("range", shift.tolist())
    found = served(readout, "range", *logits.tolist())
    assert found == sorted(found)


def test_a_shift_moves_each_quantile_on_the_standardised_scale(readout):
    readout.set("range", 0.5, 2.0)
    readout.begin("range", [-1.0, 0.0, 1.0])
    readout.shift("range", [-0.5, 0.25, 0.0])
    assert served(readout, "range", 0.0, 0.0, 0.0) == pytest.approx(
        [math.expm1(2 + 0.5 * level) for level in (-1.5, 0.25, 1.0)]
    )
    readout.begin("range", [-1.0, 0.0, 1.0])
    assert served(readout, "range", 0.0, 0.0, 0.0)[0] == pytest.approx(math.expm1(1.5))


def test_labels_are_standardised_as_values_are_served(readout):
    readout.set("range", 0.5, 2.0)
    labels = torch.tensor([0.0, 10.0, 300.0])
    levels = readout.standardised("range", labels)[:, None].expand(-1, 3)
    torch.testing.assert_close(readout("range", levels)[:, 1], labels, rtol=1e-5, atol=1e-5)


def test_setting_one_task_leaves_the_others(readout):
    before = {task.name: readout.affine(task.name).clone() for task in TASKS}
    readout.set("click", 2.0, -1.0)
    readout.bound("stars", 1.0, 5.0)
    for name in ("mood", "tags", "dwell", "range"):
        torch.testing.assert_close(readout.affine(name), before[name])


def test_it_is_saved_with_the_weights_but_the_optimiser_does_not_see_it(readout):
    readout.set("click", 2.0, -1.0)
    readout.shift("range", [-1.0, 0.0, 1.0])
    other = Readout(TASKS, CONFIGS)
    other.load_state_dict(readout.state_dict())
    assert served(other, "click", 0.7) == served(readout, "click", 0.7)
    assert served(other, "range", 0.0, 0.0, 0.0) == served(readout, "range", 0.0, 0.0, 0.0)
    assert list(readout.parameters()) == []


def test_any_shape_in_front_is_kept(readout):
    assert readout("mood", torch.zeros(2, 4, 3)).shape == (2, 4, 3)
