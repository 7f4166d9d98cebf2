import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.taste import PULL, Grades, Tastes, profile, shares


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


HISTORIES = st.lists(
    st.lists(st.lists(st.integers(-1, 4), min_size=2, max_size=2), max_size=6), min_size=1, max_size=5
)


@settings(deadline=None)
@given(HISTORIES, CODES)
def test_histories_side_by_side_give_the_shares_that_each_gives_alone(histories, shown):
    sizes = np.array([len(history) for history in histories])
    events = np.array([codes for history in histories for codes in history], dtype=np.int32).reshape(-1, 2)
    tastes = Tastes(events, np.repeat(np.arange(len(sizes)), sizes), sizes, 5)
    codes = np.array(shown, dtype=np.int32)
    for owner, history in enumerate(histories):
        alone = shares(profile(np.array(history, dtype=np.int32).reshape(-1, 2), 5), codes)
        np.testing.assert_array_equal(tastes.shares(codes, np.full(len(codes), owner)), alone)
    assert np.isnan(tastes.shares(codes[:, :0], np.zeros(len(codes), np.int64))).all()


STARS = {1: -2.0, 2: 0.5, 4: 1.5}  # kind 3 grades nothing


def test_a_mood_is_the_mean_lift_of_the_newest_events_pulled_towards_the_usual_grade():
    kinds, owners = np.array([1, 4, 2, 3, 1]), np.array([0, 0, 0, 0, 2])
    grades = Grades(kinds, owners, 3, STARS)
    np.testing.assert_allclose(grades.mood(1), [0.0, 0.0, -2.0 / (1 + PULL)])
    np.testing.assert_allclose(grades.mood(3), [2.0 / (2 + PULL), 0.0, -2.0 / (1 + PULL)])
    np.testing.assert_allclose(grades.mood(9), [0.0, 0.0, -2.0 / (1 + PULL)])


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 2), st.sampled_from([1, 2, 3, 4]), st.lists(st.integers(-1, 4), min_size=2, max_size=2)
    ),
    max_size=12,
)


@settings(deadline=None)
@given(EVENTS, CODES)
def test_a_taste_is_the_mean_lift_of_what_the_user_did_with_items_that_share_a_value(past, shown):
    past = sorted(past, key=lambda event: event[0])
    owners, kinds = (np.array([event[at] for event in past], dtype=np.int64) for at in (0, 1))
    codes = np.array([event[2] for event in past], dtype=np.int32).reshape(-1, 2)
    asked = np.arange(len(shown)) % 3
    found = Grades(kinds, owners, 3, STARS).taste(codes, np.array(shown, dtype=np.int32), asked, 5)
    for user, values, taste in zip(asked, shown, found, strict=True):
        lifts = [
            STARS[kind]
            for owner, kind, had in past
            for value in values
            for each in had
            if owner == user and kind in STARS and value == each >= 0
        ]
        np.testing.assert_allclose(taste, sum(lifts) / (len(lifts) + PULL), atol=1e-12)
