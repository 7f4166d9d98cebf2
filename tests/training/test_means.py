import pytest

from training.means import Means


def test_a_mean_is_over_the_steps_that_had_the_number_and_the_total_over_all_of_them():
    means = Means()
    assert means.add({"a": 1.0, "b": 2.0}, {"a": 1.0, "b": 0.5}) == 2.0
    assert means.add({"a": 3.0}, {"a": 1.0, "b": 0.5}) == 3.0
    assert means.means == {"a": 2.0, "b": 2.0}
    assert means.total == pytest.approx(2.5)


def test_without_a_step_there_is_nothing():
    assert Means().means == {}
    assert Means().total == 0.0
