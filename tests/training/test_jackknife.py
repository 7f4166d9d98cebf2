import numpy as np
import pytest
from scipy.stats import t

from training.jackknife import GROUPS, UNITS, jackknife


def test_the_error_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(1).normal(size=2_000)
    error = jackknife(np.arange(len(values)), lambda rows: float(values[rows].mean()))
    assert error.groups == GROUPS
    assert error.value == pytest.approx(
        values.std() / np.sqrt(len(values)), rel=0.5
    )  # of twenty groups: 0.16


def test_as_many_groups_as_units_give_the_standard_error_of_a_mean_exactly():
    values = np.random.default_rng(2).normal(size=GROUPS)
    error = jackknife(np.arange(GROUPS), lambda rows: float(values[rows].mean()))
    assert error.value == pytest.approx(values.std(ddof=1) / np.sqrt(GROUPS))


def test_rows_of_one_unit_are_left_out_together():
    units = np.repeat(np.arange(50), 4)
    seen: list[np.ndarray] = []
    jackknife(units, lambda rows: float(seen.append(rows) or 0.0))
    assert len(seen) == GROUPS
    for rows in seen:
        assert all(len(set(part)) == 1 for part in rows.reshape(50, 4))
    assert (np.sum(seen, axis=0) == GROUPS - 1).all()  # each is missing once


def test_rows_that_say_the_same_again_do_not_make_the_error_smaller():
    values = np.random.default_rng(3).normal(size=100)
    once = jackknife(np.arange(100), lambda rows: float(values[rows].mean()))
    again = np.repeat(values, 10)
    often = jackknife(np.repeat(np.arange(100), 10), lambda rows: float(again[rows].mean()))
    assert often.value == pytest.approx(once.value)


def test_of_very_many_units_some_are_drawn_and_the_error_is_that_of_all():
    values = np.random.default_rng(4).normal(size=9 * UNITS)
    error = jackknife(np.arange(len(values)), lambda rows: float(values[rows].mean()))
    assert error.value == pytest.approx(1.0 / np.sqrt(len(values)), rel=0.5)


def test_the_same_rows_have_the_same_error_every_time():
    values = np.random.default_rng(5).normal(size=300)
    first, second = (jackknife(np.arange(300), lambda rows: float(values[rows].mean())) for _ in range(2))
    assert first == second


def test_chance_reaches_further_where_fewer_groups_told_of_it():
    values = np.array([1.0, 2.0, 4.0])
    error = jackknife(np.arange(3), lambda rows: float(values[rows].mean()))
    assert error.margin(0.95) == pytest.approx(t.ppf(0.95, 2) * error.value)


@pytest.mark.parametrize("units", [0, 1])
def test_fewer_than_two_units_say_nothing_of_chance(units):
    error = jackknife(np.arange(units), lambda rows: float(rows.mean()))
    assert np.isnan(error.value)
    assert np.isnan(error.margin(0.95))


def test_a_number_that_is_undefined_without_some_units_has_no_error():
    error = jackknife(np.arange(40), lambda rows: 1.0 if rows[7] else np.nan)
    assert np.isnan(error.value)
