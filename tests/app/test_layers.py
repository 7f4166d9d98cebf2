import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from app.layers import Layered, LayeredIds

widths = st.integers(1, 4)


@given(st.data(), widths, widths)
def test_rows_are_those_of_one_table_padded_to_the_wider_one(data, width, wider):
    base, more = (
        data.draw(arrays(np.int32, (data.draw(st.integers(1, 5)), columns))) for columns in (width, wider)
    )
    layered = Layered(base, lambda: more, len(base), blank=-1)
    places = data.draw(st.lists(st.integers(0, len(base) + len(more) - 1), max_size=9))
    widest = max(width, wider)
    whole = np.vstack(
        [np.pad(each, ((0, 0), (0, widest - each.shape[1])), constant_values=-1) for each in (base, more)]
    )
    assert layered.shape == whole.shape
    found = layered.take(np.array(places, dtype=np.int64))
    np.testing.assert_array_equal(found, whole[places, : found.shape[1]])
    assert (whole[places, found.shape[1] :] == -1).all()
    if width == wider:
        room = np.empty((len(places), width), np.int32)
        assert layered.take(np.array(places, dtype=np.int64), axis=0, out=room, mode="clip") is room
        np.testing.assert_array_equal(room, found)


def test_what_came_since_is_read_and_layers_may_lie_on_layers():
    held = [np.array([10.0])]
    lower = Layered(np.array([0.0, 1.0]), lambda: held[0], 2)
    upper = Layered(lower, lambda: np.array([7.0, 8.0]), 3)
    assert upper.take(np.array([4, 2, 0, 3])).tolist() == [8.0, 10.0, 0.0, 7.0]
    held[0] = np.array([10.0, 11.0])
    assert lower.take(np.array([3, 1])).tolist() == [11.0, 1.0]
    assert upper.take(np.array([3, 2])).tolist() == [7.0, 10.0]


def test_ids_are_those_of_both():
    more = ["c"]
    ids = LayeredIds(("a", "b"), more, 2)
    more.append("d")
    assert [ids[place] for place in range(4)] == ["a", "b", "c", "d"]


def test_rows_that_one_layer_holds_are_told_with_their_places_in_it():
    base, more = np.arange(3.0), np.array([7.0, 8.0])
    layered = Layered(base, lambda: more, 3)
    found, places = layered.within(np.array([2, 0]))
    assert found is base
    assert places.tolist() == [2, 0]
    found, places = layered.within(np.array([4, 3]))
    assert found is more
    assert places.tolist() == [1, 0]
    assert layered.within(np.array([2, 3])) is None
    assert layered.within(np.array([], dtype=np.int64)) is not None
