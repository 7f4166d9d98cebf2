import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from model_store.clock import Clock
from model_store.history import GAP_BUCKETS, History, gap_buckets

CLOCK = Clock("Europe/Copenhagen")
TIMES = st.lists(st.integers(1_000_000_000, 2_000_000_000), min_size=1, max_size=20).map(
    lambda times: np.array(sorted(times), dtype=np.float64)
)


def history(times) -> History:
    rows = len(times)
    vectors = np.arange(rows * 4, dtype=np.float32).reshape(rows, 4)
    return History(vectors, np.arange(1, rows + 1), np.array(times, dtype=np.float64))


@settings(deadline=None)
@given(TIMES, st.integers(-900_000_000, 900_000_000))
def test_gaps_are_counted_from_the_newest_event_whenever_that_was(times, shift):
    np.testing.assert_array_equal(gap_buckets(times + shift), gap_buckets(times))


@settings(deadline=None)
@given(TIMES)
def test_the_newest_event_is_in_bucket_0_and_older_ones_never_in_a_lower_bucket(times):
    buckets = gap_buckets(times)
    assert buckets[-1] == 0
    assert (np.diff(buckets) <= 0).all()
    assert buckets.max() < GAP_BUCKETS


def test_there_are_two_buckets_to_an_octave_of_minutes():
    minutes = np.array([0, 0.4, 1, 2, 3, 7, 60, 24 * 60, 514 * 24 * 60, 1e7])
    found = gap_buckets(np.array([1e9, *(1e9 - 60 * minutes)]))[1:]
    assert found.tolist() == [0, 0, 2, 3, 4, 6, 11, 20, 38, 39]


def test_every_row_of_a_table_of_times_has_a_newest_event_of_its_own():
    times = np.array([[0.0, 60.0], [1e6, 1e6]])
    assert gap_buckets(times).tolist() == [[2, 0], [0, 0]]


def test_the_inputs_are_a_batch_of_one_with_local_hours():
    summer = 1_720_000_000.0  # 2024-07-03 09:46:40 UTC
    inputs = history([summer - 3600, summer]).inputs(CLOCK)
    assert {name: value.shape for name, value in inputs.items()} == {
        "vectors": (1, 2, 4), "events": (1, 2), "gaps": (1, 2), "hours": (1, 2), "mask": (1, 2)
    }  # fmt: skip
    assert inputs["hours"].tolist() == [[10, 11]]
    assert inputs["events"].tolist() == [[1, 2]]
    assert inputs["mask"].tolist() == [[1.0, 1.0]]


def test_no_history_at_all_is_one_masked_row():
    inputs = history([]).inputs(CLOCK)
    assert inputs["vectors"].shape == (1, 1, 4)
    assert inputs["mask"].tolist() == [[0.0]]


def test_a_profile_stands_before_the_oldest_event_and_has_its_time():
    profile = np.full(4, 7, dtype=np.float32)
    opened = history([100.0, 200.0]).opened_by(profile)
    assert opened.vectors[0].tolist() == [7, 7, 7, 7]
    assert opened.events.tolist() == [0, 1, 2]
    assert opened.times.tolist() == [100.0, 100.0, 200.0]


def test_a_profile_without_events_is_at_time_0():
    opened = history([]).opened_by(np.zeros(4, dtype=np.float32))
    assert opened.times.tolist() == [0.0]
    assert opened.inputs(CLOCK)["mask"].tolist() == [[1.0]]


@settings(deadline=None)
@given(arrays.arrays(np.float32, (3, 4), elements=st.floats(-1, 1, width=32)))
def test_vectors_arrive_bit_for_bit(vectors):
    told = History(vectors, np.ones(3, dtype=np.int64), np.arange(3, dtype=np.float64))
    np.testing.assert_array_equal(told.inputs(CLOCK)["vectors"][0], vectors)
