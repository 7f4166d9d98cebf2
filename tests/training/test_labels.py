from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from model_store.manifest import Task
from tests.training import toy
from training import build as builder
from training.errors import DataError
from training.labels import encode

KNOWN = {"user": "u", "item": "i1"}


def build(rows, **tasks):
    full = [{**KNOWN, "time": toy.START + number, **row} for number, row in enumerate(rows)]
    return toy.build(full, toy.settings(tasks=tasks))


CLICK = {"type": "binary", "label": "clicked"}


def test_classes_are_the_sorted_values_and_a_missing_one_is_minus_1():
    mood = {"type": "multiclass", "label": "mood"}
    dataset = build(
        [{"mood": name, "click": 1.0} for name in ["sad", None, "glad", "sad", "calm"]],
        mood=mood,
        click=CLICK,
    )
    assert dataset.tasks[0].classes == ("calm", "glad", "sad")
    assert dataset.labels["mood"].tolist() == [2, -1, 1, 2, 0]
    assert dataset.labels["mood"].dtype == np.int64


def test_a_missing_number_is_nan():
    dwell = {"type": "regression", "label": "dwell"}
    rows = [{"click": value, "dwell": 3.0} for value in (1.0, None, 0.0, 1.0, 0.0)]
    dataset = build([*rows, {"click": 1.0}], click=CLICK, dwell=dwell)
    np.testing.assert_array_equal(dataset.labels["click"], [1, np.nan, 0, 1, 0, 1])
    np.testing.assert_array_equal(dataset.labels["dwell"], [3, 3, 3, 3, 3, np.nan])


def test_a_number_after_a_click_is_that_of_rows_that_may_have_one():
    dwell = {"type": "regression", "label": "dwell", "given": "click"}
    rows = [{"click": value, "dwell": seconds} for value, seconds in ((1.0, 3.0), (None, 5.0), (0.0, 90.0))]
    dataset = build(
        [*rows, {"click": 1.0}, {"click": 0.0, "dwell": 0.0}, {"click": 1.0}], click=CLICK, dwell=dwell
    )
    np.testing.assert_array_equal(dataset.labels["dwell"], [3, 5, np.nan, np.nan, np.nan, np.nan])
    assert (dataset.tasks[1].given, dataset.tasks[0].given) == ("click", None)
    assert dataset.tasks[1].high < 5.1


def test_the_range_of_a_regression_is_that_of_all_but_its_outermost_hundredths():
    dwell = {"type": "regression", "label": "dwell"}
    dataset = build([{"dwell": float(value)} for value in [*range(101), 10_000]], dwell=dwell)
    assert (dataset.tasks[0].low, dataset.tasks[0].high) == pytest.approx((1.01, 99.99))


def test_a_regression_of_one_value_has_a_range_that_can_be_divided_by():
    task = build([{"dwell": 3.0}] * 8, dwell={"type": "regression", "label": "dwell"}).tasks[0]
    assert (task.low, task.high) == (3.0, 4.0)


def test_quantiles_have_the_labels_and_the_range_of_a_regression():
    rows = [{"click": 1.0, "dwell": value} for value in (3.0, None, 5.0, 3.0, 4.0, 3.0)]
    read = {"type": "quantile", "label": "dwell", "quantiles": [0.25, 0.75]}
    dataset = build(rows, click=CLICK, dwell=read)
    same = build(rows, click=CLICK, dwell={"type": "regression", "label": "dwell"})
    np.testing.assert_array_equal(dataset.labels["dwell"], same.labels["dwell"])
    task, other = dataset.tasks[1], same.tasks[1]
    assert (task.low, task.high) == (other.low, other.high)
    assert (task.quantiles, task.width, other.quantiles) == ((0.25, 0.75), 2, ())


def test_a_task_with_one_class_has_nothing_to_learn():
    with pytest.raises(DataError, match=r"tasks\.mood: column 'mood' has one class only"):
        build([{"mood": "sad", "click": 1.0}] * 8, click=CLICK, mood={"type": "multiclass", "label": "mood"})


def test_a_task_without_any_label_is_named():
    with pytest.raises(DataError, match=r"tasks\.dwell: column 'seconds' has no value"):
        build([{"click": 1.0}] * 8, click=CLICK, dwell={"type": "regression", "label": "seconds"})


def test_a_clock_task_is_labelled_with_the_local_time_where_something_happened():
    time = {"type": "multiclass", "inputs": "user_item", "label": "time", "clock": "daypart"}
    evening = 8 * 3600  # from 11:00 to 19:00 in Copenhagen, 18:00 UTC
    rows = [
        {"time": toy.START + evening * (number % 2), "events": ["buy"] * (number % 3 > 0), "click": 1.0}
        for number in range(12)
    ]
    rows = [{**row, "time": row["time"] + 86_400 * number} for number, row in enumerate(rows)]
    dataset = build(rows, click=CLICK, time=time)
    assert dataset.labels["time"].tolist() == [-1 if n % 3 == 0 else (1, 3)[n % 2] for n in range(12)]
    assert dataset.tasks[1].classes == ("night", "morning", "afternoon", "evening")


# tasks that read one text


def test_an_item_label_belongs_to_the_items_own_text():
    labels = toy.made().alone["kind"]
    assert labels.texts.tolist() == list(range(toy.ITEMS))
    assert labels.labels.tolist() == [number % 2 for number in range(toy.ITEMS)]


def test_labels_of_many_classes_are_a_table_and_items_without_are_left_out():
    labels = toy.made().alone["tags"]
    assert labels.texts.tolist() == [number for number in range(toy.ITEMS) if number != 3]
    expected = [[(number % 3) > 0, (number % 3) > 1] for number in labels.texts]
    np.testing.assert_array_equal(labels.labels, expected)


def test_an_item_is_in_the_same_part_whatever_other_items_there_are():
    chosen = toy.settings()
    found = toy.tables(toy.log(), chosen)
    less, more = (builder.build(chosen, replace(found, items=toy.items(count))) for count in (toy.ITEMS, 500))
    np.testing.assert_array_equal(less.alone["kind"].splits, more.alone["kind"].splits[: toy.ITEMS])
    shares = np.bincount(more.alone["kind"].splits, minlength=3) / 500
    np.testing.assert_allclose(shares, [0.6, 0.2, 0.2], atol=0.06)


def test_a_text_is_in_the_part_of_the_request_that_it_came_with():
    dataset = toy.made()
    rows = [row for row in toy.log() if row["mood"] is not None]
    labels = dataset.alone["mood"]
    assert [dataset.texts[number] for number in labels.texts] == [row["text:mood"] for row in rows]
    assert labels.labels.tolist() == [row["mood"] for row in rows]
    parts = dict(zip(dataset.requests.times, dataset.requests.splits, strict=True))
    assert labels.splits.tolist() == [parts[row["time"]] for row in rows]


def test_a_class_that_the_task_does_not_know_is_no_label():
    task = Task(name="mood", type="multiclass", classes=("glad", "sad"))
    assert encode(task, pl.Series(["sad", "angry", None, "glad"])).tolist() == [1, -1, -1, 0]


@pytest.mark.parametrize("place", [0, 30, 39])
def test_a_value_that_is_no_grade_is_told_wherever_it_stands(place):
    rows = [{**KNOWN, "time": float(at), "stars": 1.0 + at % 5} for at in range(40)]
    stars = {"type": "regression", "label": "stars", "loss": "ordinal", "grades": [1, 2, 3, 4, 5]}
    chosen = toy.settings(tasks={"stars": stars})
    toy.build(rows, chosen)
    rows[place]["stars"] = 0.0
    with pytest.raises(
        DataError, match=r"tasks\.stars\.grades: 0 is a value of column 'stars' but no grade; add it"
    ):
        toy.build(rows, chosen)
