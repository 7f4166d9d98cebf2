import hashlib

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.training import toy
from training.dataset import SPLITS
from training.errors import ConfigError, DataError
from training.sections import SplitConfig
from training.split import split_requests

TIMES = st.lists(st.integers(1_600_000_000, 1_600_000_400), min_size=3, max_size=60).map(
    lambda times: np.array(sorted(times), dtype=np.float64)
)


def by_time(times, **config):
    return split_requests(SplitConfig(**config), np.asarray(times, dtype=np.float64), [None] * len(times))


@settings(deadline=None)
@given(TIMES, st.floats(0.0, 0.4), st.floats(0.0, 0.4))
def test_validation_is_after_train_and_test_after_both(times, validation, test):
    parts = by_time(times, validation=validation, test=test)
    for earlier, later in ((0, 1), (1, 2), (0, 2)):
        assume((parts == earlier).any() and (parts == later).any())
        assert times[parts == earlier].max() < times[parts == later].min()


def test_the_shares_are_those_of_the_requests():
    parts = by_time(np.arange(1000.0), validation=0.2, test=0.1)
    assert np.bincount(parts).tolist() == [700, 200, 100]


def test_requests_at_the_boundary_stay_together():
    parts = by_time([1, 2, 3, 4, 5, 5, 5, 5, 5, 6], validation=0.2, test=0.2)
    assert len(set(parts[4:9])) == 1


def test_stated_dates_are_the_boundaries_in_their_own_zone():
    boundary = 1_700_000_000.0  # 2023-11-14T22:13:20Z
    times = np.array([boundary - 1, boundary, boundary + 99, boundary + 100])
    parts = by_time(times, validation_from="2023-11-14T23:13:20+01:00", test_from="2023-11-14T22:15:00Z")
    assert parts.tolist() == [0, 1, 1, 2]


def test_a_stated_end_leaves_validation_its_share_of_what_is_before():
    times = 1_700_000_000.0 + np.arange(100)
    parts = by_time(times, test_from="2023-11-14T22:14:10Z", validation=0.1, test=0.1)  # the 50th
    assert (parts == 2).sum() == 50
    assert 4 <= (parts == 1).sum() <= 7


def test_dates_in_the_wrong_order_are_refused():
    with pytest.raises(ConfigError, match="validation_from must not be after"):
        by_time([1.0, 2.0], validation_from="2024-01-01T00:00:00Z", test_from="2023-01-01T00:00:00Z")


@settings(deadline=None)
@given(st.lists(st.text(min_size=1), min_size=1, max_size=40))
def test_a_query_is_on_one_side_wherever_and_beside_whatever_it_stands(queries):
    config = SplitConfig(by="query", validation=0.3, test=0.3)
    together = split_requests(config, np.arange(len(queries), dtype=np.float64), queries)
    alone = [split_requests(config, np.zeros(1), [query])[0] for query in queries]
    assert together.tolist() == alone


def test_a_test_share_of_a_fifth_is_the_last_two_digits_of_the_md5():
    queries = [f"query {number}" for number in range(500)]
    parts = split_requests(SplitConfig(by="query", validation=0.1, test=0.2), np.zeros(500), queries)
    digits = np.array([int(hashlib.md5(query.encode()).hexdigest(), 16) % 10 for query in queries])  # noqa: S324
    np.testing.assert_array_equal(parts == 2, digits >= 8)
    np.testing.assert_array_equal(parts == 1, digits == 7)


def test_a_split_by_query_needs_a_query_on_every_row():
    with pytest.raises(DataError, match="some events have no query"):
        split_requests(SplitConfig(by="query"), np.zeros(2), ["red", None])


# of a whole data set


def test_the_parts_of_a_split_by_time_do_not_overlap():
    times, splits = (getattr(toy.made().requests, name) for name in ("times", "splits"))
    parts = [times[splits == number] for number in SPLITS.values()]
    assert [len(part) for part in parts] == [36, 12, 12]
    assert parts[0].max() < parts[1].min() <= parts[1].max() < parts[2].min()


def test_no_query_is_on_two_sides_of_a_split_by_query():
    rows = [
        {**row, "query": f"query {number % 25}"} for number, row in enumerate(toy.log()) if row["impression"]
    ]
    rows = [{**row, "impression": None} for row in rows]
    requests = toy.build(rows, toy.settings(split={"by": "query"})).requests
    sides = {query: set(requests.splits[requests.queries == query]) for query in requests.queries}
    assert all(len(side) == 1 for side in sides.values())
