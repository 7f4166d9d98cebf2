import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.windows import BUCKETS, Window

NAMES = st.sampled_from(["15m", "17m", "1h", "6h", "24h", "7d", "9999d"])
TIMES = st.floats(1e9, 4e9) | st.integers(10**9, 4 * 10**9).map(float)


@pytest.mark.parametrize(
    ("name", "seconds"), [("15m", 900), ("90m", 5_400), ("1h", 3_600), ("24h", 86_400), ("7d", 604_800)]
)
def test_a_name_is_a_number_of_minutes_hours_or_days(name, seconds):
    assert Window(name).seconds == seconds
    assert Window(name).step == seconds / 12


@pytest.mark.parametrize(
    "name", ["", "h", "0h", "01h", "1", "1w", "1H", " 1h", "1h ", "1.5h", "-1h", "10000m"]
)
def test_what_is_no_window_is_named_with_a_fix(name):
    with pytest.raises(ValueError, match=r"^'.*' is no window of at least 15m; write 15m, 6h or 7d$"):
        Window(name)


@pytest.mark.parametrize("name", ["1m", "14m"])
def test_a_window_shorter_than_15_minutes_is_refused(name):
    with pytest.raises(ValueError, match="at least 15m"):
        Window(name)


@pytest.mark.parametrize("minutes", [15, 16, 17, 9999])
def test_a_bucket_is_a_whole_number_of_seconds(minutes):
    assert Window(f"{minutes}m").step == minutes * 5


def test_the_hour_of_half_past_begins_at_the_fifth_minute_before_the_last_eleven():
    noon = 1_705_316_400.0
    hour = Window("1h")
    assert hour.start(np.array([noon + 30 * 60]))[0] == noon - 25 * 60
    assert hour.start(np.array([noon + 35 * 60 - 1]))[0] == noon - 25 * 60
    assert hour.start(np.array([noon + 35 * 60]))[0] == noon - 20 * 60


@settings(deadline=None)
@given(NAMES, TIMES)
def test_a_window_covers_eleven_to_twelve_twelfths_of_its_length(name, now):
    window = Window(name)
    covered = now - window.start(np.array([now]))[0]
    assert (BUCKETS - 1) * window.step <= covered < window.seconds


@settings(deadline=None)
@given(NAMES, TIMES, TIMES)
def test_a_time_lies_in_a_window_if_its_bucket_is_one_of_the_last_twelve(name, now, time):
    window = Window(name)
    in_buckets = window.bucket(np.array([time])) > window.bucket(np.array([now])) - BUCKETS
    np.testing.assert_array_equal(in_buckets, time >= window.start(np.array([now])))


@settings(deadline=None)
@given(NAMES, TIMES, st.integers(-12, 0))
def test_the_instant_before_a_bucket_begins_lies_in_the_one_before(name, now, back):
    window = Window(name)
    edge = (window.bucket(np.array([now])) + back) * window.step
    np.testing.assert_array_equal(window.bucket(np.nextafter(edge, 0)), window.bucket(edge) - 1)
