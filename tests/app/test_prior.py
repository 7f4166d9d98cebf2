import numpy as np
import pytest

from app.prior import SEAMLESS, Prior, Stand, stand
from model_store.counters import layout

DAY = 86_400.0
UNTIL = 20_000 * DAY
LAYOUT = layout(("click",), ("1h", "24h"))


@pytest.fixture(scope="session")
def prior():
    """Item 0 was clicked 10 minutes and 5 hours before the log ended; item 1 never."""
    times = np.array([UNTIL - 18_000, UNTIL - 600])
    zeros = np.zeros(2, dtype=np.int64)
    return Prior(LAYOUT, LAYOUT.count(2, zeros, zeros, times), UNTIL)


def told(prior, now, began, row=0):
    found = prior.read(np.array([row]), np.array([now]), began)
    return found.counts[0, 0].tolist(), now - found.last[0, 0], now - found.first[0]


@pytest.mark.parametrize(
    ("began", "expected"),
    [
        (None, Stand(offset=5 * DAY)),
        (UNTIL - 1.0, Stand(before=UNTIL - 1.0)),
        (UNTIL, Stand()),
        (UNTIL + SEAMLESS, Stand()),
        (UNTIL + SEAMLESS + 1.0, Stand(offset=SEAMLESS + 1.0)),
    ],
)
def test_the_log_stands_where_live_counting_began(began, expected):
    assert stand(UNTIL, began, UNTIL + 5 * DAY) == expected


@pytest.mark.parametrize("later", [0.0, 3_000.0, 40 * DAY, -3 * DAY])
def test_before_anything_is_live_the_log_has_just_ended(prior, later):
    assert told(prior, UNTIL + later, None) == ([1, 2], 600.0, 18_000.0)


def test_after_a_gap_the_log_ends_when_live_counting_began_and_fades_out(prior):
    began = UNTIL + 30 * DAY
    assert told(prior, began, began) == ([1, 2], 600.0, 18_000.0)
    assert told(prior, began + 7_200, began) == ([0, 2], 7_800.0, 25_200.0)
    assert told(prior, began + 2 * DAY, began)[0] == [0, 0]


def test_without_a_gap_the_log_goes_on(prior):
    assert told(prior, UNTIL + 600.0, UNTIL + 300.0) == ([1, 2], 1_200.0, 18_600.0)


def test_what_is_counted_live_is_not_counted_of_the_log_again(prior):
    assert told(prior, UNTIL, UNTIL - 3_600.0)[0] == [0, 1]
    assert told(prior, UNTIL, UNTIL - DAY)[0] == [0, 0]


def test_an_item_that_the_log_does_not_know_has_no_counts(prior):
    for row in (1, -1):
        found = prior.read(np.array([row]), np.array([UNTIL]), None)
        assert found.counts.max() == 0
        assert np.isnan([found.first[0], found.last[0, 0]]).all()


def test_a_bundle_without_counts_has_no_prior():
    found = Prior(LAYOUT, None, 0.0).read(np.array([0, -1]), np.array([UNTIL]), None)
    assert found.counts.shape == (2, 1, 2)
    assert found.counts.max() == 0


def test_both_together_are_the_whole_log(prior):
    live = LAYOUT.count(1, np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64), np.array([UNTIL + 60.0]))
    now = UNTIL + 120.0
    whole = LAYOUT.read(live, np.array([now])).after(prior.read(np.array([0]), np.array([now]), UNTIL + 60.0))
    assert whole.counts[0, 0].tolist() == [2, 3]
    assert (whole.last[0, 0], whole.first[0]) == (UNTIL + 60.0, UNTIL - 18_000)


@pytest.mark.parametrize("began", [None, UNTIL - 3_600.0, UNTIL + 300.0, UNTIL + 30 * DAY])
def test_many_moments_at_once_are_read_like_each_alone(prior, began):
    rows, times = np.array([0, 1, 0, -1]), UNTIL + np.array([600.0, 0.0, 7_200.0, 40 * DAY])
    together = prior.read(rows, times, began)
    for n in range(len(rows)):
        alone = prior.read(rows[n : n + 1], times[n : n + 1], began)
        for name in ("counts", "last", "first"):
            np.testing.assert_array_equal(getattr(together, name)[n], getattr(alone, name)[0])
