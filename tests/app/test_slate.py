import numpy as np
import pytest

from app.slate import Columns, Slate, joined


@pytest.fixture
def columns():
    """Four items: b belongs to no brand and has no price."""
    return Columns(
        ids=("a", "b", "c", "d"),
        parts=(np.arange(8, dtype=np.float32).reshape(4, 2),) * 4,
        published=np.array([1.0, np.nan, 3.0, 4.0]),
        codes={"brand": np.array([[0, 1], [-1, -1], [2, -1], [0, -1]], dtype=np.int32)},
        numbers={"price": np.array([10.0, np.nan, 30.0, 40.0])},
        outputs=np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6], [0.7, 0.8]], dtype=np.float32),
        shingles=np.arange(8, dtype=np.uint16).reshape(4, 2),
    )


def test_everything_is_told_in_the_order_of_the_candidates(columns):
    rows = np.array([2, 0, 1])
    slate = Slate(rows, columns, rows)
    assert len(slate) == 3
    assert list(slate.ids) == ["c", "a", "b"]
    assert np.array_equal(slate.published, [3.0, 1.0, np.nan], equal_nan=True)
    assert slate.codes("brand").tolist() == [[2, -1], [0, 1], [-1, -1]]
    assert np.array_equal(slate.numbers("price"), [30.0, 10.0, np.nan], equal_nan=True)
    assert slate.output(1).tolist() == pytest.approx([0.6, 0.2, 0.4])
    assert slate.shingles(slice(0, 2)).tolist() == [[4, 5], [0, 1]]


def test_some_are_named_and_told_by_their_number_in_the_slate(columns):
    rows = np.array([2, 0, 1])
    slate = Slate(rows, columns, rows)
    assert slate.named([2, 0]) == ["b", "c"]
    assert slate.outputs(np.array([2, 0])).ravel().tolist() == pytest.approx([0.3, 0.4, 0.5, 0.6])


def test_ids_at_hand_are_taken_as_given(columns):
    """A described item may bear the id of another one in the catalogue."""
    slate = Slate(np.array([-1, 3]), columns, np.array([1, 0]), ("new", "d"))
    assert list(slate.ids) == ["new", "d"]
    assert slate.named([1]) == ["d"]
    assert slate.published[1] == 1.0


def test_a_slate_may_be_empty(columns):
    none = np.zeros(0, dtype=np.int64)
    slate = Slate(none, columns, none)
    assert len(slate) == 0
    assert list(slate.ids) == []
    assert slate.codes("brand").shape == (0, 2)


def test_some_that_stand_side_by_side_are_a_slate_of_their_own(columns):
    slate = Slate(np.array([-1, 3, 0]), columns, np.array([1, 3, 0]), ("new", "d", "a")).part(slice(1, 3))
    assert list(slate.ids) == ["d", "a"]
    assert slate.published.tolist() == [4.0, 1.0]


def test_slates_of_the_same_columns_are_joined_one_after_another(columns):
    rows = np.array([2, 0])
    named, plain = Slate(rows, columns, rows, ("c", "a")), Slate(rows[:1], columns, rows[:1])
    for slates, ids in (
        ([named, named], ["c", "a", "c", "a"]),
        ([named, plain], ["c", "a", "c"]),
        ([plain], ["c"]),
    ):
        slate = joined(slates)
        assert list(slate.ids) == ids
        assert slate.codes("brand").tolist() == [
            code for each in slates for code in each.codes("brand").tolist()
        ]
