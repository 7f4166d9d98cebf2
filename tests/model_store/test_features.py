import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.clock import Clock
from model_store.features import COLUMNS, FeatureSet, Moment, profile, shares, width

CLOCK = Clock("Europe/Copenhagen")
NOON = 1_705_316_400.0  # Monday 2024-01-15 12:00 in Copenhagen


def matrix(*names, rows=1, **known):
    moment = {
        "now": np.full(rows, NOON), "published": np.full(rows, np.nan), "last_event": np.full(rows, np.nan),
        "sizes": np.zeros(rows),
    } | known  # fmt: skip
    return FeatureSet(names, CLOCK).matrix(Moment(**moment))


def test_the_width_is_that_of_the_matrix_for_every_feature():
    names = (*COLUMNS, "share:kind", "share:brand")
    found = matrix(*names, shares={"kind": np.zeros(1), "brand": np.zeros(1)})
    assert FeatureSet(names, CLOCK).width == sum(map(width, names)) == found.shape[1]
    assert found.dtype == np.float32


def test_an_unknown_feature_is_named():
    with pytest.raises(KeyError, match="moon"):
        width("moon")


def test_the_columns_stand_in_the_order_of_the_names():
    one, other = matrix("weekday", "history_size"), matrix("history_size", "weekday")
    np.testing.assert_array_equal(one, other[:, [1, 2, 0]])


def test_noon_in_copenhagen_is_the_lowest_point_of_the_first_harmonic():
    np.testing.assert_allclose(matrix("hour")[0], [0, -1, 0, 1], atol=1e-6)


def test_the_weekday_is_the_same_all_day_long_and_another_after_local_midnight():
    midnight = NOON + 12 * 3600
    days = matrix("weekday", rows=3, now=np.array([NOON, midnight - 1, midnight]))
    np.testing.assert_array_equal(days[0], days[1])
    np.testing.assert_allclose(days[0], [0, 1], atol=1e-6)  # Monday
    assert (days[2] != days[0]).any()


@pytest.mark.parametrize(("name", "known"), [("item_age", "published"), ("since_last", "last_event")])
def test_an_unknown_time_is_0_with_a_1_beside_it_and_a_known_one_has_a_0_there(name, known):
    found = matrix(name, rows=3, **{known: np.array([np.nan, NOON, NOON - 3600])})
    np.testing.assert_allclose(found, [[0, 1], [0, 0], [np.log(2) / 4, 0]], rtol=1e-6)


def test_an_item_of_tomorrow_is_as_old_as_one_of_now():
    assert matrix("item_age", published=np.array([NOON + 86_400]))[0].tolist() == [0, 0]


def test_the_history_size_grows_by_its_logarithm():
    np.testing.assert_allclose(
        matrix("history_size", rows=2, sizes=np.array([0, 50.0]))[:, 0], [0, np.log(51) / 4], rtol=1e-6
    )


def test_one_moment_and_many_items_broadcast():
    known = {"now": np.array([NOON]), "sizes": np.array([2.0]), "last_event": np.array([NOON])}
    found = matrix("hour", "item_age", published=np.array([NOON, np.nan, NOON]), **known)
    assert found.shape == (3, 6)


# shares


def test_a_profile_counts_events_not_values():
    codes = np.array([[0, 1], [0, -1], [-1, -1], [2, -1]], dtype=np.int32)
    assert profile(codes, 4).tolist() == [0.5, 0.25, 0.25, 0.0]


def test_an_empty_history_has_no_profile_and_every_share_is_missing():
    taste = profile(np.zeros((0, 2), dtype=np.int32), 3)
    assert np.isnan(taste).all()
    assert np.isnan(shares(taste, np.array([[0, 1], [-1, -1]], dtype=np.int32))).all()


def test_an_item_has_the_best_share_of_its_values_and_none_without_values():
    taste = np.array([0.5, 0.25, 0.0])
    codes = np.array([[1, 0], [1, -1], [2, -1], [-1, -1]], dtype=np.int32)
    np.testing.assert_array_equal(shares(taste, codes), [0.5, 0.25, 0.0, np.nan])


def test_an_attribute_without_any_value_in_the_catalogue_is_missing_for_all():
    codes = np.full((3, 1), -1, dtype=np.int32)
    assert np.isnan(shares(profile(codes[:2], 0), codes)).all()


CODES = st.lists(st.lists(st.integers(-1, 4), min_size=2, max_size=2), min_size=1, max_size=12)


@settings(deadline=None)
@given(CODES, CODES)
def test_a_share_is_the_share_of_events_with_one_of_the_items_values(seen, shown):
    found = shares(profile(np.array(seen, dtype=np.int32), 5), np.array(shown, dtype=np.int32))
    for values, share in zip(shown, found, strict=True):
        known = [value for value in values if value >= 0]
        counts = [sum(row.count(value) for row in seen) / len(seen) for value in known]
        np.testing.assert_allclose(share, max(counts, default=np.nan))


@settings(deadline=None)
@given(CODES)
def test_a_candidates_share_does_not_depend_on_the_candidates_beside_it(shown):
    taste = profile(np.array([[0, 1], [1, 2], [3, -1]], dtype=np.int32), 5)
    codes = np.array(shown, dtype=np.int32)
    together = shares(taste, codes)
    alone = np.concatenate([shares(taste, codes[row : row + 1]) for row in range(len(codes))])
    np.testing.assert_array_equal(together, alone)
