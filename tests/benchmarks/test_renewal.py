import numpy as np

from benchmarks.quality.renewal import EARLIER, ROWS, SHARES, cut, within
from tests.training import toy


def test_a_log_is_cut_into_what_was_learned_checked_new_judged_and_held_out():
    dataset = toy.made()
    moments = cut(dataset)
    assert list(moments) == ["checked", "new", "judged", "held"]
    assert sorted(moments.values()) == list(moments.values())
    shares = [(dataset.requests.times < moment).mean() for moment in moments.values()]
    np.testing.assert_allclose(shares, list(SHARES.values()), atol=0.03)


def test_the_past_is_all_that_was_asked_in_a_time():
    dataset = toy.made()
    times = dataset.requests.times
    past = within(dataset, times[10], times[20])
    np.testing.assert_array_equal(past.requests.of("test"), np.arange(10, 20))
    assert not len(past.requests.of("train"))
    assert past.context is dataset.context


def test_what_goes_on_stands_beside_what_does_not():
    assert not ROWS[EARLIER].on
    assert {row for row, how in ROWS.items() if how.remember} < {row for row, how in ROWS.items() if how.on}
