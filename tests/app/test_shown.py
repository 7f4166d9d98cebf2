import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import shown
from model_store.moment import SHOWN_LISTS, SHOWN_SECONDS

NOW = 1_795_348_800.0


def entries(*lists):
    """As Redis gives them: what came last stands first."""
    return [shown.pack(time, items) for time, items in reversed(lists)]


def of_one(items, held, now=NOW):
    return shown.meetings(shown.marks(items), np.zeros(len(items), np.int64), [held], np.array([now]))


def meetings(items, *lists, now=NOW):
    found = of_one(items, entries(*lists), now)
    return found.counts.tolist(), found.last.tolist()


def test_an_item_is_counted_in_each_list_that_held_it():
    counts, last = meetings(["a", "b", "c"], (NOW - 9, ["a", "b"]), (NOW - 5, ["b"]))
    assert counts == [1, 2, 0]
    assert last[:2] == [NOW - 9, NOW - 5]
    assert np.isnan(last[2])


def test_only_what_was_shown_strictly_before_and_within_the_days_counts():
    lists = [(NOW, ["a"]), (NOW + 1, ["a"]), (NOW - SHOWN_SECONDS, ["b"]), (NOW - SHOWN_SECONDS - 1, ["c"])]
    assert meetings(["a", "b", "c"], *lists)[0] == [0, 1, 0]


def test_only_the_newest_lists_count_whenever_they_came():
    lists = [(NOW - second, [f"i{second}"]) for second in range(1, SHOWN_LISTS + 3)]
    items = [f"i{second}" for second in range(1, SHOWN_LISTS + 3)]
    for order in (lists, lists[::-1]):
        assert meetings(items, *order)[0] == [1] * SHOWN_LISTS + [0, 0]


def test_of_lists_of_one_moment_those_that_came_last_count():
    lists = [(NOW - 5, [f"i{number}"]) for number in range(SHOWN_LISTS + 2)]
    items = [f"i{number}" for number in range(SHOWN_LISTS + 2)]
    assert meetings(items, *lists)[0] == [0, 0] + [1] * SHOWN_LISTS


def test_nothing_shown_is_nothing_met():
    assert meetings(["a", "b"])[0] == [0, 0]


@pytest.mark.parametrize(
    "damage", [b"", b"short", b"8 bytes.", np.float64(NOW - 1).tobytes() + b"123", None, "text"]
)
def test_a_damaged_entry_is_left_out(damage):
    found = of_one(["a"], [damage, *entries((NOW - 1, ["a"])), damage])
    assert found.counts.tolist() == [1]


@given(st.lists(st.binary(max_size=64), max_size=8))
def test_any_bytes_are_lists_or_nothing(values):
    with np.errstate(all="raise"):
        marks, times = shown.read(values, NOW)
    assert len(marks) == len(times)
    assert (times < NOW).all()


LISTS = st.lists(
    st.tuples(st.floats(NOW - 20, NOW + 5), st.lists(st.sampled_from("abcd"), min_size=1)), max_size=6
)


@given(
    st.lists(
        st.tuples(LISTS, st.lists(st.sampled_from("abcde"), min_size=1, max_size=5)), min_size=1, max_size=4
    )
)
def test_users_side_by_side_meet_what_each_meets_alone(users):
    owners = np.repeat(np.arange(len(users)), [len(items) for _, items in users])
    marks = shown.marks([item for _, items in users for item in items])
    now = NOW - np.arange(len(users))
    together = shown.meetings(marks, owners, [entries(*lists) for lists, _ in users], now)
    alone = [of_one(items, entries(*lists), at) for (lists, items), at in zip(users, now, strict=True)]
    np.testing.assert_array_equal(together.counts, np.concatenate([each.counts for each in alone]))
    np.testing.assert_array_equal(together.last, np.concatenate([each.last for each in alone]))
