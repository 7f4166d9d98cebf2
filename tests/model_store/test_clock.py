from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.clock import CLASSES, DAYPARTS, WEEKDAYS, Clock

COPENHAGEN = Clock("Europe/Copenhagen")
ZONES = (
    "UTC",
    "Europe/Copenhagen",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Asia/Tokyo",
)
SECONDS = st.integers(100_000_000, 4_000_000_000)  # 1973 to 2096


def unix(written: str, zone: str = "Europe/Copenhagen", fold: int = 0) -> float:
    return datetime.fromisoformat(written).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


@settings(deadline=None)
@given(SECONDS, st.integers(0, 999_999), st.sampled_from(ZONES))
def test_it_reads_what_zoneinfo_reads(seconds, micros, zone):
    moment = datetime.fromtimestamp(seconds, tz=UTC) + timedelta(microseconds=micros)
    local, clock = moment.astimezone(ZoneInfo(zone)), Clock(zone)
    times = np.array([seconds + micros / 1e6])
    day = timedelta(
        hours=local.hour, minutes=local.minute, seconds=local.second, microseconds=local.microsecond
    )
    assert clock.hours(times)[0] == pytest.approx(day.total_seconds() / 3600, abs=1e-8)
    assert clock.bucket(times, "hour")[0] == local.hour
    assert CLASSES["hour"][clock.bucket(times, "hour")[0]] == f"{local.hour:02d}"
    assert DAYPARTS[clock.bucket(times, "daypart")[0]] == DAYPARTS[local.hour // 6]
    assert WEEKDAYS[clock.bucket(times, "weekday")[0]] == local.strftime("%A").lower()


@settings(deadline=None)
@given(st.lists(SECONDS, min_size=1, max_size=30))
def test_many_times_at_once_are_read_like_each_alone(seconds):
    times = np.array(seconds, dtype=np.float64)
    alone = [COPENHAGEN.hours(np.array([time]))[0] for time in times]
    np.testing.assert_array_equal(COPENHAGEN.hours(times), alone)


def test_the_night_on_which_clocks_go_forward_has_no_hour_two():
    before, after = unix("2024-03-31T01:59:59"), unix("2024-03-31T03:00:00")
    assert after - before == 1
    assert COPENHAGEN.bucket(np.array([before, after]), "hour").tolist() == [1, 3]


def test_the_night_on_which_clocks_go_back_has_hour_two_twice():
    night = [unix("2024-10-27T02:30:00", fold=fold) for fold in (0, 1)]
    assert night[1] - night[0] == 3600
    assert COPENHAGEN.bucket(np.array(night), "hour").tolist() == [2, 2]
    assert COPENHAGEN.hours(np.array(night)).tolist() == [2.5, 2.5]


@pytest.mark.parametrize(
    ("written", "part"),
    [("00:00", "night"), ("05:59:59", "night"), ("06:00", "morning"), ("12:00", "afternoon"),
     ("18:00", "evening"), ("23:59:59", "evening")],
)  # fmt: skip
@pytest.mark.parametrize("day", ["2024-01-15", "2024-07-15"])
def test_a_part_of_the_day_begins_at_its_local_hour_in_summer_and_winter(day, written, part):
    times = np.array([unix(f"{day}T{written}")])
    assert DAYPARTS[COPENHAGEN.bucket(times, "daypart")[0]] == part


def test_a_week_begins_on_monday_at_local_midnight():
    monday = unix("2024-07-15T00:00:00")
    assert COPENHAGEN.weekdays(np.array([monday, monday - 1]))[0] == 0.0
    assert COPENHAGEN.bucket(np.array([monday, monday - 1]), "weekday").tolist() == [0, 6]


def test_an_array_keeps_its_shape():
    assert COPENHAGEN.bucket(np.zeros((2, 3)), "hour").shape == (2, 3)
    assert COPENHAGEN.bucket(np.zeros((0,)), "hour").shape == (0,)
