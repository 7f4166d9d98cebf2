import numpy as np

from app.pasts import Pasts
from app.users import Past


def past(*events):
    """From (row, kind, time)."""
    rows, kinds, times = zip(*events, strict=True) if events else ((), (), ())
    return Past(
        rows=np.array(rows, dtype=np.int64), events=np.array(kinds, dtype=np.int64),
        times=np.array(times, dtype=np.float64), items=(), profile="", digest=b"",
    )  # fmt: skip


def test_events_stand_side_by_side_and_know_whose_they_are():
    pasts = Pasts.of([past((7, 1, 10.0), (3, 2, 20.0)), past(), past((5, 1, 5.0))])
    assert pasts.rows.tolist() == [7, 3, 5]
    assert pasts.owners.tolist() == [0, 0, 2]
    assert pasts.sizes.tolist() == [2, 0, 1]
    np.testing.assert_array_equal(pasts.last, [20.0, np.nan, 5.0])


def test_a_share_is_that_of_each_user_and_missing_without_events():
    pasts = Pasts.of([past((7, 1, 1.0), (3, 2, 2.0)), past(), past((5, 2, 5.0))])
    expected = {1: [0.5, np.nan, 0.0], 2: [0.5, np.nan, 1.0], 3: [0.0, np.nan, 0.0]}
    for kind, shares in expected.items():
        np.testing.assert_array_equal(pasts.share(kind), shares)


def test_one_user_may_have_no_past_at_all():
    pasts = Pasts.of([past()])
    assert pasts.rows.dtype == pasts.owners.dtype == np.int64
    assert np.isnan(pasts.last).all()
