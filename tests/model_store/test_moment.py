import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.moment import Met, Moment, met

ITEMS = st.lists(st.integers(0, 6), max_size=20).map(lambda items: np.array(items, dtype=np.int64))
PAST = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 9).map(float)), max_size=20)


def meetings(items, past) -> Met:
    owners, times = zip(*past, strict=True) if past else ((), ())
    return met(items, np.array(owners, dtype=np.int64), np.array(times, dtype=np.float64))


@settings(deadline=None)
@given(ITEMS, PAST)
def test_each_candidate_is_counted_in_the_past_and_its_newest_time_is_told(items, past):
    found = meetings(items, past)
    times = [[time for owner, time in past if owner == item] for item in items]
    np.testing.assert_array_equal(found.counts, [len(each) for each in times])
    np.testing.assert_array_equal(found.last, [max(each, default=np.nan) for each in times])


@settings(deadline=None)
@given(ITEMS, PAST.flatmap(lambda past: st.tuples(st.just(past), st.permutations(past))))
def test_the_order_of_the_past_does_not_matter(items, pasts):
    one, other = (meetings(items, past) for past in pasts)
    np.testing.assert_array_equal(one.counts, other.counts)
    np.testing.assert_array_equal(one.last, other.last)


def test_who_has_no_past_met_nothing():
    found = meetings(np.array([3, 0]), [])
    assert found.counts.tolist() == [0, 0]
    assert np.isnan(found.last).all()


def test_an_item_that_is_twice_among_the_candidates_met_the_user_as_often_both_times():
    found = meetings(np.array([5, 1, 5]), [(5, 2.0), (5, 1.0)])
    assert found.counts.tolist() == [2, 0, 2]
    np.testing.assert_array_equal(found.last, [2, np.nan, 2])


def test_there_are_as_many_rows_as_the_longest_quantity_has():
    one, three = np.zeros(1), np.zeros(3)
    assert Moment(now=one, published=three, last_event=one, sizes=one).rows == 3
    assert Moment(now=one, published=one, last_event=one, sizes=one).rows == 1


def test_all_candidates_are_one_list_where_nothing_else_is_said():
    one = np.zeros(1)
    assert Moment(now=one, published=one, last_event=one, sizes=one).starts.tolist() == [0]


LISTS = np.array([0, 2, 3])  # of 2, 1 and 3 candidates


def test_each_candidate_knows_how_long_its_list_is():
    six = np.zeros(6)
    assert Moment(now=six, published=six, last_event=six, sizes=six).crowd.tolist() == [6]
    told = Moment(now=six, published=six, last_event=six, sizes=six, starts=LISTS)
    assert told.crowd.tolist() == [2, 2, 1, 3, 3, 3]


def test_what_candidates_share_is_told_of_one_of_each_asker():
    six = np.arange(6.0)
    told = Moment(
        now=six, published=six, last_event=six + 10, sizes=np.ones(1), starts=LISTS,
        habits={"click": six + 20}, words={"device": np.arange(6)},
    ).at(LISTS)  # fmt: skip
    assert (told.rows, told.now.tolist(), told.last_event.tolist()) == (3, [0, 2, 3], [10, 12, 13])
    assert (told.sizes.tolist(), told.crowd.tolist()) == ([1], [2, 1, 3])
    assert (told.habits["click"].tolist(), told.words["device"].tolist()) == ([20, 22, 23], [0, 2, 3])
