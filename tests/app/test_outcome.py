import numpy as np
import pytest

from app.errors import ModelFailure
from app.fusion import Fusion
from app.outcome import Outcome, classes, split
from model_store.clock import DAYPARTS, Clock
from model_store.manifest import Task

CLICK = Task(name="click", type="binary", main=True)
TIME = Task(name="time", type="multiclass", classes=DAYPARTS, clock="daypart")
MOOD = Task(name="mood", type="multiclass", classes=tuple("abcdefg"))
READ = Task(name="read", type="quantile", quantiles=(0.1, 0.5, 0.9))
NOON = 1_795_348_800.0  # 2026-11-22 12:00 UTC, a Sunday
OUTPUTS = {
    "click": np.array([[0.1], [0.9], [0.9]], dtype=np.float32),
    "time": np.array([[0.1, 0.2, 0.3, 0.4]] * 3, dtype=np.float32),
    "mood": np.array([[0.0, 0.1, 0.2, 0.3, 0.15, 0.05, 0.2]] * 3, dtype=np.float32),
}


def fused(fusion=None, outputs=OUTPUTS):
    fusion = fusion or Fusion("weighted_sum", {"click": 1.0})
    return Outcome((CLICK, TIME, MOOD), outputs).fuse(fusion, Clock("UTC"), NOON)


def test_the_best_come_first_and_equals_keep_their_order():
    assert fused().top(2).tolist() == [1, 2]


def test_a_clock_task_is_served_as_the_probability_of_the_moment():
    [item] = fused().ranked(["a", "b", "c"], np.array([1]))
    assert item.tasks["time"] == pytest.approx(0.3)
    assert (item.item_id, item.score) == ("b", 0.9)


def test_classes_are_served_as_the_likeliest_five():
    best = classes(MOOD, OUTPUTS["mood"][0])
    assert list(best) == ["d", "c", "g", "e", "b"]
    assert best["d"] == 0.3


def test_quantiles_are_served_by_their_names_in_the_unit_of_the_label():
    output = np.array([[1.5, 21.0, 160.4], [0.0, 0.0, 1234.5678901]], dtype=np.float32)
    outcome = Outcome((CLICK, READ), {"click": OUTPUTS["click"][:2], "read": output})
    [item] = outcome.fuse(Fusion("weighted_sum", {"click": 1.0}), Clock("UTC"), NOON).ranked(
        ["a", "b"], np.array([1])
    )
    assert item.tasks["read"] == {"0.1": 0.0, "0.5": 0.0, "0.9": pytest.approx(1234.567871)}
    assert list(item.tasks["read"]) == ["0.1", "0.5", "0.9"]


def test_contributions_are_served_only_when_asked_for():
    plain, explained = (
        fused().ranked(["a", "b", "c"], np.array([0]), explain=explain)[0] for explain in (False, True)
    )
    assert "contributions" not in plain.body()
    assert explained.body()["contributions"] == pytest.approx({"click": 0.1})


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_fails_by_the_name_of_its_task(bad):
    with pytest.raises(ModelFailure, match="task click"):
        fused(outputs=OUTPUTS | {"click": np.array([[bad]] * 3, dtype=np.float32)})


def test_outputs_side_by_side_are_split_by_width():
    parts = split(np.arange(16, dtype=np.float32).reshape(2, 8), (CLICK, MOOD))
    assert parts["click"].tolist() == [[0.0], [8.0]]
    assert parts["mood"].shape == (2, 7)
