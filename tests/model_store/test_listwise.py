import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from model_store.listwise import BLOCK, FORMS, relative

COLUMNS = 2
VALUE = st.none() | st.integers(-3, 3).map(float) | st.floats(-1e6, 1e6)
ROW = st.lists(VALUE, min_size=COLUMNS, max_size=COLUMNS)
LISTS = st.lists(st.lists(ROW, min_size=1, max_size=20), min_size=1, max_size=5)
ONE = np.zeros(1, dtype=np.int64)
quick = settings(deadline=None)


def table(rows):
    """Rows as an array (columns, n), None as NaN."""
    return np.array(rows, dtype=np.float64).T


def whole(lists):
    """All lists one after another, and where each begins."""
    starts = np.cumsum([0, *map(len, lists[:-1])])
    return table([row for rows in lists for row in rows]), starts


def apart(found, starts):
    """What is found of each list."""
    return np.split(found, starts[1:], axis=-1)


@quick
@given(LISTS)
def test_the_rank_is_that_of_scipy_among_the_known_values_of_a_list_from_the_greatest(lists):
    values, starts = whole(lists)
    for found, rows in zip(apart(relative(values, starts), starts), lists, strict=True):
        for column, told in enumerate(table(rows)):
            known = ~np.isnan(told)
            ranks = (rankdata(-told[known], method="average") - 1) / max(known.sum() - 1, 1)
            np.testing.assert_array_equal(found[column, 0, known], ranks)


@quick
@given(LISTS)
def test_the_gap_is_to_the_greatest_of_a_list_and_the_lead_over_its_mean(lists):
    values, starts = whole(lists)
    for found, rows in zip(apart(relative(values, starts), starts), lists, strict=True):
        for column, told in enumerate(table(rows)):
            known = told[~np.isnan(told)]
            if known.size:
                gap, lead = found[column, 1:, ~np.isnan(told)].T
                np.testing.assert_array_equal(gap, known - known.max())
                np.testing.assert_allclose(lead, known - known.mean(), atol=1e-9)


@quick
@given(LISTS)
def test_a_missing_value_stands_in_the_middle(lists):
    values, starts = whole(lists)
    found = relative(values, starts)
    assert np.isfinite(found).all()
    assert (found.transpose(0, 2, 1)[np.isnan(values)] == [0.5, 0, 0]).all()


@quick
@given(LISTS)
def test_a_list_is_the_same_alone_and_among_others_bit_for_bit(lists):
    together = relative(*whole(lists))
    alone = np.concatenate([relative(table(rows), ONE) for rows in lists], axis=-1)
    np.testing.assert_array_equal(together, alone)


def test_a_list_of_hundreds_is_the_same_alone_and_among_others_bit_for_bit():
    random = np.random.default_rng(0)
    sizes = [1, 700, 2, 300, 129]
    values = np.where(random.random((5, sum(sizes))) < 0.2, np.nan, random.normal(size=(5, sum(sizes))))
    values[3] = random.integers(0, 9, sum(sizes)) / 7  # of equal ones, any may come first
    starts = np.cumsum([0, *sizes[:-1]])
    alone = np.concatenate([relative(part, ONE) for part in apart(values, starts)], axis=-1)
    np.testing.assert_array_equal(relative(values, starts), alone)


@pytest.mark.parametrize("size", [BLOCK // 3, BLOCK, BLOCK + 1])
def test_columns_that_are_compared_in_turns_are_the_same_as_alone_bit_for_bit(size):
    random = np.random.default_rng(0)
    values = np.where(random.random((7, size)) < 0.2, np.nan, random.normal(size=(7, size)))
    alone = np.concatenate([relative(column[None], ONE) for column in values])
    np.testing.assert_array_equal(relative(values, ONE), alone)


@quick
@given(LISTS)
def test_a_column_is_the_same_alone_and_beside_another_bit_for_bit(lists):
    values, starts = whole(lists)
    both = relative(values, starts)
    for column in range(COLUMNS):
        np.testing.assert_array_equal(relative(values[[column]], starts)[0], both[column])


@quick
@given(
    st.lists(ROW, min_size=1, max_size=40).flatmap(
        lambda rows: st.tuples(st.just(rows), st.permutations(range(len(rows))))
    )
)
def test_the_order_of_the_candidates_does_not_matter_bit_for_bit(drawn):
    rows, order = drawn
    values = table(rows)
    np.testing.assert_array_equal(relative(values[:, order], ONE), relative(values, ONE)[..., order])


def test_the_forms_stand_in_the_order_of_their_names():
    found = dict(zip(FORMS, relative(np.array([[1.0, 4.0, 1.0]]), ONE)[0], strict=True))
    assert found["rank"].tolist() == [0.75, 0, 0.75]
    assert found["gap"].tolist() == [-3, 0, -3]
    assert found["lead"].tolist() == [-1, 2, -1]


def test_a_candidate_alone_is_the_first_the_best_and_the_mean():
    assert relative(np.array([[7.0]]), ONE).tolist() == [[[0], [0], [0]]]
    assert relative(np.array([[7.0, np.nan]]), ONE)[0].T.tolist() == [[0, 0, 0], [0.5, 0, 0]]


def test_nothing_is_compared_of_no_columns():
    assert relative(np.zeros((0, 3)), ONE).shape == (0, len(FORMS), 3)
