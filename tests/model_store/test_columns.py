import numpy as np
import pytest

from model_store.columns import Columns
from model_store.listwise import relative
from model_store.names import parse

NAN = np.nan
ONE = np.zeros(1, dtype=np.int64)


def columns(*use, width=1) -> Columns:
    return Columns([parse(name) for name in use], lambda _: width)


def test_a_feature_that_is_told_and_compared_is_computed_once():
    found = columns("share:brand", "count:click", "list:share:brand", "list:count:click", width=2)
    assert [(name.plain, rows) for name, rows in found.places] == [
        ("share:brand", slice(0, 2)), ("count:click", slice(2, 4)),
    ]  # fmt: skip
    assert found.size == 4


def test_columns_stand_in_the_order_of_the_names():
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    assert columns("hour", "weekday").table(values, ONE).tolist() == [[1, 3], [2, 4]]
    assert columns("weekday", "hour").table(values, ONE).tolist() == [[1, 3], [2, 4]]
    assert columns("hour", "weekday", "hour").table(values, ONE).tolist() == [[1, 3, 1], [2, 4, 2]]


def test_a_missing_value_is_0_and_the_column_behind_it_says_so():
    found = columns("share:brand", "hour").table(np.array([[NAN, -0.5, 0.5], [7.0, 8.0, 9.0]]), ONE)
    assert found.tolist() == [[0, 1, 7], [-0.5, 0, 8], [0.5, 0, 9]]


def test_the_last_value_of_a_feature_says_whether_it_is_missing():
    values = np.array([[0.0, 2.0], [NAN, 1.0]])
    assert columns("again", width=2).table(values, ONE).tolist() == [[0, 0, 1], [2, 1, 0]]


@pytest.mark.parametrize("before", [(), ("hour",), ("share:brand",)])
def test_what_is_compared_has_the_forms_of_each_value_and_then_whether_it_is_missing(before):
    values = np.array([[0.5, NAN, 0.25], [3.0, 1.0, 2.0]])[: 1 + ("hour" in before)]
    found = columns("list:share:brand", *before).table(values, ONE)
    assert found[:, :4].tolist() == [[0, 0, 0.125, 0], [0.5, 0, 0, 1], [1, -0.25, -0.125, 0]]


def test_lists_are_compared_apart():
    values, starts = np.array([[1.0, 2.0, 5.0, 9.0]]), np.array([0, 2])
    found = columns("list:count:click").table(values, starts)
    np.testing.assert_array_equal(found, relative(values, starts)[0].T.astype(np.float32))
    assert found[:, 0].tolist() == [1, 0, 1, 0]


def test_no_features_have_no_columns():
    assert columns().table(np.zeros((0, 3)), ONE).shape == (3, 0)
