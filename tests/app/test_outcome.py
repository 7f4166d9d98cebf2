import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ModelFailure
from app.outcome import Form, Outcomes, bodies
from app.slate import Columns, Slate
from model_store.clock import DAYPARTS, Clock
from model_store.fusion import Fusion
from model_store.manifest import Task
from model_store.parts import Parts
from tests.app.plain import manifest

CLICK = Task(name="click", type="binary", main=True)
TIME = Task(name="time", type="multiclass", inputs="user_item", classes=DAYPARTS, clock="daypart")
READ = Task(name="read", type="quantile", quantiles=(0.1, 0.5, 0.9))
MOOD = Task(name="mood", type="multiclass", inputs="item", classes=tuple("abcdefg"))
GOOD = Task(name="good", type="binary", inputs="item")
NOON = 1_795_348_800.0  # 2026-11-22 12:00 UTC, a Sunday
OUTPUTS = np.array(
    [
        [0.1, 0.1, 0.2, 0.3, 0.4, 1.5, 21.0, 160.4],
        [0.9, 0.1, 0.2, 0.3, 0.4, 0.0, 0.0, 1234.5678901],
        [0.9, 0.1, 0.2, 0.3, 0.4, 0.0, 0.0, 0.0],
    ],
    dtype=np.float32,
)  # click, time, read
ALONE = np.array([[0.0, 0.1, 0.2, 0.3, 0.15, 0.05, 0.2, 0.25 * row] for row in range(3)], dtype=np.float32)
CLICKS = Fusion("weighted_sum", {"click": 1.0})


def slate(alone=ALONE, places=(0, 1, 2)):
    """Three items of which only the answers about their texts are known."""
    size = len(alone)
    parts = Parts(*(np.zeros((size, 4), np.float32),) * 4)
    columns = Columns(tuple("abc"), parts, np.zeros(size), {}, {}, alone, np.zeros((size, 0), np.uint16))
    return Slate(np.array(places), columns, np.array(places))


def fused(fusion=CLICKS, outputs=OUTPUTS, among=None, now=(NOON,)):
    told = manifest(tasks=(CLICK, TIME, MOOD, READ, GOOD))
    outcomes = Outcomes(told, told.online_tasks, Clock("UTC"))
    return outcomes.fuse(outputs, among or slate(), fusion, outcomes.buckets(np.array(now)))


def clicks(values):
    """The same outputs with other probabilities of a click."""
    outputs = np.zeros((len(values), 8), dtype=np.float32)
    outputs[:, 0] = values
    return outputs


def test_the_best_come_first_and_equals_keep_their_order():
    assert fused().top(2).tolist() == [1, 2]


@given(
    st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=40),
    st.integers(1, 45),
    st.sampled_from([1, 10]),
)
def test_the_best_k_are_the_first_k_of_all_in_order(values, k, times):
    values = times * values  # few are sorted, of many the greatest are sought first
    among = slate(np.zeros((len(values), 8), np.float32), range(len(values)))
    expected = sorted(range(len(values)), key=lambda number: -values[number])[:k]
    assert fused(outputs=clicks(values), among=among).top(k).tolist() == expected


def test_a_clock_task_is_served_as_the_probability_of_the_moment():
    [item] = fused().ranked(np.array([1]))
    assert item.tasks["time"] == pytest.approx(0.3)
    assert (item.item_id, item.score) == ("b", 0.9)


def test_candidates_of_several_moments_are_served_each_at_its_own():
    night, morning = NOON - 12 * 3_600, NOON - 6 * 3_600
    times = fused(now=(night, morning, NOON)).ranked(np.array([2, 0]))
    assert [item.tasks["time"] for item in times] == pytest.approx([0.3, 0.1])
    by_time = fused(Fusion("weighted_sum", {"time": 1.0}), now=(night, morning, NOON))
    assert by_time.scores == pytest.approx([0.1, 0.2, 0.3])


def test_the_best_of_some_are_told_by_their_number_among_all():
    outputs = clicks([0.5, 0.1, 0.3, 0.2, 0.3])
    among = slate(np.zeros((5, 8), np.float32), range(5))
    assert fused(outputs=outputs, among=among).top(2, slice(1, 5)).tolist() == [2, 4]
    assert fused(outputs=outputs, among=among).top(9, slice(3, 5)).tolist() == [4, 3]


def test_tasks_are_served_in_the_order_of_the_manifest():
    assert list(fused().ranked(np.array([0]))[0].tasks) == ["click", "time", "mood", "read", "good"]


def test_classes_are_served_as_the_likeliest_five():
    best = fused().ranked(np.array([0]))[0].tasks["mood"]
    assert list(best) == ["d", "c", "g", "e", "b"]
    assert best["d"] == 0.3


def test_quantiles_are_served_by_their_names_in_the_unit_of_the_label():
    [item] = fused().ranked(np.array([1]))
    assert item.tasks["read"] == {"0.1": 0.0, "0.5": 0.0, "0.9": pytest.approx(1234.567871)}
    assert list(item.tasks["read"]) == ["0.1", "0.5", "0.9"]


def test_what_texts_alone_say_is_that_of_the_candidates_places():
    items = fused(among=slate(places=(2, 0, 1))).ranked(np.array([0, 2]))
    assert [(item.item_id, item.tasks["good"]) for item in items] == [("c", 0.5), ("b", 0.25)]


def test_a_task_that_reads_texts_alone_can_decide_the_order():
    by_text = fused(Fusion("weighted_sum", {"good": 1.0}))
    assert by_text.top(2).tolist() == [2, 1]
    assert by_text.scores == pytest.approx([0.0, 0.25, 0.5])


def test_a_number_after_a_click_is_weighed_by_the_chance_of_it_and_told_as_it_is():
    stay = Task(name="stay", type="regression", given="click", low=10.0, high=100.0)
    told = manifest(tasks=(stay, CLICK))
    outcomes = Outcomes(told, told.online_tasks, Clock("UTC"))
    outputs = np.array([[80.0, 0.25], [20.0, 0.5], [90.0, 0.0]], dtype=np.float32)
    among = slate(np.zeros((3, 0), np.float32))
    found = outcomes.fuse(outputs, among, Fusion("weighted_sum", {"stay": 1.0}), {})
    assert found.scores == pytest.approx([0.25 * 80.0 / 100.0, 0.5 * 20.0 / 100.0, 0.0])
    assert [item.tasks["stay"] for item in found.ranked(found.top(3))] == [80.0, 20.0, 90.0]


def test_contributions_are_served_only_when_asked_for():
    plain, explained = (fused().ranked(np.array([0]), explain=explain)[0] for explain in (False, True))
    assert "contributions" not in plain.body()
    assert explained.body()["contributions"] == pytest.approx({"click": 0.1})


@pytest.mark.parametrize("explain", [False, True])
def test_the_bodies_of_an_answer_are_those_of_its_items(explain):
    items = fused().ranked(np.array([0, 1]), explain=explain)
    assert bodies(items) == [item.body() for item in items]
    assert bodies([]) == []


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_fails_by_the_name_of_its_task(bad):
    outputs = OUTPUTS.copy()
    outputs[2, 4] = bad
    with pytest.raises(ModelFailure, match="task time"):
        fused(outputs=outputs)
    with pytest.raises(ModelFailure, match="task good"):
        fused(Fusion("weighted_sum", {"good": 1.0}), among=slate(np.full((3, 8), bad, np.float32)))
    with pytest.raises(ModelFailure, match="task mood"):
        fused(among=slate(np.full((3, 8), bad, np.float32))).ranked(np.array([0]))


def test_rows_of_texts_are_served_without_a_moment():
    served = Form((MOOD, GOOD)).served(ALONE, ("mood", "good"), {})
    assert [row["good"] for row in served] == [0.0, 0.25, 0.5]
    assert list(served[1]["mood"]) == ["d", "c", "g", "e", "b"]


def test_with_no_task_to_serve_each_row_still_has_its_place():
    assert Form(()).served(ALONE[:, :0], (), {}) == [{}, {}, {}]
