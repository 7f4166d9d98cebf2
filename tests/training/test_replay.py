"""The replay against brute force: a loop over all that happened, a moment at a time."""

from operator import itemgetter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.counters import MEMORY, layout
from model_store.moment import SHOWN_LISTS, SHOWN_SECONDS, met
from training import replay
from training.replay import Lists, Log, Meetings, Replay, Series

BASE = 33_730 * 50_400.0  # in 2023, where a bucket of every window begins
ITEMS, USERS = 3, 3
WINDOWS = ("15m", "1h", "7d")
LAYOUT = layout(("click", "view"), WINDOWS, ("price",))
STEPS = st.sampled_from([75.0, 300.0, 50_400.0, 4 * 50_400.0])  # those of the windows, and 37 days in all
MOMENTS = st.builds(
    lambda step, buckets: BASE + step * buckets, STEPS, st.integers(0, 16) | st.floats(0, 16, width=16)
)
ROW = st.fixed_dictionaries(
    {
        "user": st.none() | st.integers(0, USERS - 1).map("u{}".format),
        "number": st.integers(0, ITEMS - 1),
        "time": MOMENTS,
        "impression": st.none() | st.integers(0, 4).map("l{}".format),
        "events": st.lists(st.sampled_from(["click", "buy"]), unique=True),
        "number:price": st.none() | st.integers(0, 9).map(float),
    }
)
ROWS = st.lists(ROW, max_size=25).map(lambda rows: sorted(rows, key=itemgetter("time")))
ASKED = st.lists(st.tuples(st.integers(0, ITEMS - 1), MOMENTS), min_size=1, max_size=8)
SCHEMA = {
    "user": pl.String, "number": pl.Int64, "time": pl.Float64, "impression": pl.String,
    "events": pl.List(pl.String), "number:price": pl.Float64,
}  # fmt: skip
quick = settings(deadline=None, max_examples=150)


def table(rows) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA)


def log_of(rows, told=LAYOUT) -> Log:
    frame = table(rows)
    return replay.read(frame.drop("number"), frame["number"].to_numpy(), told)


def happened(rows):
    """Item, event and time of all that is counted: a row that was shown is a view, when its list was."""
    found = [(row["number"], name, row["time"]) for row in rows for name in row["events"]]
    shown = {}
    for row in rows:
        shown.setdefault((row["impression"], row["user"]), row["time"])
    found += [
        (row["number"], "view", shown[row["impression"], row["user"]]) for row in rows if row["impression"]
    ]
    return found


def arrays(asked):
    items, now = zip(*asked, strict=True)
    return np.array(items, dtype=np.int64), np.array(now)


def same(one, other) -> None:
    for name in ("counts", "last", "first", "latest"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


# what is counted


@quick
@given(ROWS, ASKED)
def test_what_is_counted_lies_between_the_windows_start_and_just_before_the_moment(rows, asked):
    items, now = arrays(asked)
    found = Replay(log_of(rows), LAYOUT, ITEMS).statistics(items, now)
    for place, (item, moment) in enumerate(asked):
        for kind, name in enumerate(LAYOUT.events):
            for number, window in enumerate(LAYOUT.windows):
                start = window.start(np.array(moment))
                times = [time for i, event, time in happened(rows) if (i, event) == (item, name)]
                assert found.counts[place, kind, number] == sum(start <= time < moment for time in times)


@quick
@given(ROWS, ASKED)
def test_the_times_are_those_of_the_newest_event_of_a_kind_and_the_first_of_all_before(rows, asked):
    items, now = arrays(asked)
    found = Replay(log_of(rows), LAYOUT, ITEMS).statistics(items, now)
    for place, (item, moment) in enumerate(asked):
        past = [(event, time) for i, event, time in happened(rows) if i == item and time < moment]
        counted = [time for event, time in past if event in LAYOUT.events]
        np.testing.assert_array_equal(found.first[place], min(counted, default=np.nan))
        for kind, name in enumerate(LAYOUT.events):
            told = [time for event, time in past if event == name and time >= moment - MEMORY]
            newest = max(told, default=np.nan)
            np.testing.assert_array_equal(found.last[place, kind], newest)


@quick
@given(ROWS, ASKED)
def test_the_latest_value_is_that_of_the_newest_row_before_that_has_one(rows, asked):
    items, now = arrays(asked)
    found = Replay(log_of(rows), LAYOUT, ITEMS).statistics(items, now)
    for place, (item, moment) in enumerate(asked):
        told = [row for row in rows if row["number"] == item and moment - MEMORY <= row["time"] < moment]
        known = [row["number:price"] for row in told if row["number:price"] is not None]
        np.testing.assert_array_equal(found.latest[place, 0], known[-1] if known else np.nan)


@quick
@given(ROWS, ASKED, ROWS)
def test_nothing_of_a_moment_itself_or_of_later_counts(rows, asked, others):
    """Whatever else the future brings."""
    for item, moment in asked:
        one, now = np.array([item]), np.array([moment])
        past = [row for row in rows if row["time"] < moment]
        later = [
            {**row, "time": max(row["time"], moment), "impression": row["impression"] and "later"}
            for row in others
        ]
        found, alone = (
            Replay(log_of(part), LAYOUT, ITEMS).statistics(one, now) for part in (past + later, past)
        )
        same(found, alone)


@quick
@given(ROWS)
def test_the_records_at_the_end_of_a_log_read_as_it_replays_just_after(rows):
    log, items = log_of(rows), np.arange(ITEMS)
    now = np.full(ITEMS, np.nextafter(log.end, np.inf) if rows else BASE)
    same(LAYOUT.read(log.records(LAYOUT, ITEMS), now), Replay(log, LAYOUT, ITEMS).statistics(items, now))


@quick
@given(ROWS, ASKED)
def test_at_any_moment_the_records_of_what_came_before_read_as_it_replays(rows, asked):
    log = log_of(rows)
    replayed = Replay(log, LAYOUT, ITEMS)
    for item, moment in asked:
        now = np.array([moment])
        written = log.until(moment).records(LAYOUT, ITEMS)
        same(LAYOUT.read(written[[item]], now), replayed.statistics(np.array([item]), now))


def test_of_what_is_more_than_30_days_old_only_the_first_time_is_known():
    row = {
        "user": "u0",
        "time": BASE,
        "impression": "a",
        "events": ["click"],
        "number:price": 5.0,
        "number": 0,
    }
    replayed, item = Replay(log_of([row]), LAYOUT, ITEMS), np.array([0])
    known = replayed.statistics(item, np.array([BASE + MEMORY]))
    assert (known.last == BASE).all()
    assert known.latest == 5
    forgotten = replayed.statistics(item, np.array([BASE + MEMORY + 1]))
    assert np.isnan([*forgotten.last[0], *forgotten.latest[0]]).all()
    assert forgotten.first == BASE


def test_no_event_of_a_list_that_is_being_shown_is_known_to_it():
    known = {"user": "u0", "time": BASE, "impression": "a", "events": ["click"], "number:price": 5.0}
    rows = [{**known, "number": item} for item in range(ITEMS)]
    items = np.arange(ITEMS)
    replayed = Replay(log_of(rows), LAYOUT, ITEMS)
    before = replayed.statistics(items, np.full(ITEMS, BASE))
    assert not before.counts.any()
    assert np.isnan([before.last[:, 0], before.last[:, 1], before.first, before.latest[:, 0]]).all()
    after = replayed.statistics(items, np.full(ITEMS, BASE + 1))
    assert (after.counts == 1).all()
    assert (after.latest == 5).all()


# the log


@quick
@given(ROWS)
def test_a_log_holds_what_happened_in_order_of_time(rows):
    log = log_of(rows)
    kinds = [LAYOUT.events[kind] for kind in log.kinds]
    found = list(zip(log.items.tolist(), kinds, log.times.tolist(), strict=True))
    assert sorted(found) == sorted(one for one in happened(rows) if one[1] in LAYOUT.events)
    assert (np.diff(log.times) >= 0).all()
    told = [np.array(part).tolist() for part in log.told["price"]]
    known = [row for row in rows if row["number:price"] is not None]
    assert told == [[row[name] for row in known] for name in ("number", "time", "number:price")]


@quick
@given(ROWS, MOMENTS)
def test_until_a_time_a_log_is_what_is_strictly_before(rows, moment):
    log, past = log_of(rows), log_of(rows).until(moment)
    assert past.times.tolist() == [time for time in log.times if time < moment]
    assert past.end == max([*past.times, *past.told["price"][1]], default=0.0)
    assert past.end < moment


def test_an_empty_log_ends_at_0_and_knows_nothing():
    log = log_of([])
    assert log.end == 0.0
    found = Replay(log, LAYOUT, ITEMS).statistics(np.array([2]), np.array([BASE]))
    assert not found.counts.any()
    assert np.isnan(found.latest).all()


def test_rows_of_a_list_that_lie_apart_are_views_of_the_time_of_the_first():
    known = {"user": "u0", "events": [], "number:price": None}
    rows = [
        {**known, "number": 0, "time": BASE, "impression": "a"},
        {**known, "number": 1, "time": BASE + 5, "impression": "a"},
        {**known, "number": 2, "time": BASE + 5, "impression": "a", "user": "u1"},
        {**known, "number": 2, "time": BASE + 9, "impression": None},
    ]
    log = log_of(rows)
    assert list(zip(log.items, log.times - BASE, strict=True)) == [(0, 0), (1, 0), (2, 5)]


# series


@quick
@given(
    st.lists(st.tuples(st.integers(0, ITEMS - 1), MOMENTS)),
    st.integers(-1, ITEMS - 1),
    MOMENTS,
)
def test_a_series_says_how_many_events_of_a_key_came_before(past, key, moment):
    keys, times = arrays(past) if past else (np.zeros(0, dtype=np.int64), np.zeros(0))
    series = Series.of(keys, times, ITEMS)
    (stop,) = series.before(np.array([key]), np.array([moment]))
    if key < 0:
        assert stop == 0
        return
    mine = sorted(time for owner, time in past if owner == key and time < moment)
    assert series.times[series.starts[key] : stop].tolist() == mine
    newest = series.times_before(np.array([key]), np.array([stop]))
    np.testing.assert_array_equal(newest, mine[-1:] or [np.nan])


# user and item


@quick
@given(
    st.lists(st.tuples(st.integers(0, USERS - 1), st.integers(0, 4), st.integers(0, 9))),
    st.tuples(st.integers(-1, USERS), st.integers(0, 6)),
    st.tuples(st.integers(0, 40), st.integers(0, 40)).map(sorted),
)
def test_meetings_between_two_places_are_those_of_the_stretch(past, pair, stretch):
    past = sorted(past, key=itemgetter(0, 2))  # each user's part by time, users side by side
    users, items, ticks = (
        (np.array(part, dtype=np.int64) for part in zip(*past, strict=True))
        if past
        else (np.zeros(0, dtype=np.int64),) * 3
    )
    times = BASE + ticks
    meetings = Meetings(users, items, np.arange(len(past)), times)
    (user, item), (start, stop) = pair, stretch
    found = meetings.between(*(np.array([value]) for value in (user, item, start, stop)))
    mine = [at for at in range(len(past)) if users[at] == user and start <= at < stop]
    expected = met(np.array([item]), items[mine], times[mine])
    np.testing.assert_array_equal(found.counts, expected.counts)
    np.testing.assert_array_equal(found.last, expected.last)


# lists


def lists_of(rows) -> Lists:
    frame = table(rows)
    owners = np.array([-1 if user is None else int(user[1:]) for user in frame["user"]], dtype=np.int64)
    return Lists.read(frame.drop("number"), owners, frame["number"].to_numpy(), USERS)


def lists_before(rows, user, moment):
    """Time and items of the lists of a user before a moment, in the order in which they were shown."""
    found = {}
    for row in rows:
        if row["impression"] and row["user"] == f"u{user}":
            found.setdefault(row["impression"], (row["time"], []))[1].append(row["number"])
    return [one for one in sorted(found.values(), key=itemgetter(0)) if one[0] < moment]


def shown(rows, user, item, moment):
    """By the definition: the newest 50 lists of 7 days."""
    recent = [one for one in lists_before(rows, user, moment) if one[0] >= moment - SHOWN_SECONDS]
    kept = [(item, time) for time, items in recent[-SHOWN_LISTS:] for item in items]
    items, times = zip(*kept, strict=True) if kept else ((), ())
    return met(np.array([item]), np.array(items, dtype=np.int64), np.array(times))


def check_shown(rows, asked):
    users, items, now = (np.array(part) for part in zip(*asked, strict=True))
    found = lists_of(rows).shown(users, items, now)
    expected = [shown(rows, *one) for one in asked]
    np.testing.assert_array_equal(found.counts, np.concatenate([one.counts for one in expected]))
    np.testing.assert_array_equal(found.last, np.concatenate([one.last for one in expected]))


@quick
@given(
    ROWS,
    st.lists(st.tuples(st.integers(-1, USERS - 1), st.integers(0, ITEMS), MOMENTS), min_size=1, max_size=8),
)
def test_what_was_shown_to_a_user_is_what_stood_in_the_lists_of_7_days_before(rows, asked):
    check_shown(rows, asked)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.sampled_from([600.0, 7_200.0, 20_000.0]))
def test_of_more_lists_than_50_the_newest_count_and_of_two_at_a_time_the_later(seed, gap):
    random = np.random.default_rng(seed)
    times = BASE + gap * np.sort(random.integers(0, 60, 130))  # often two at a time
    owners = random.integers(0, 2, len(times))
    rows = [
        {"user": f"u{owners[at]}", "number": item, "time": time, "impression": f"l{at}", "events": [],
         "number:price": None}
        for at, time in enumerate(times)
        for item in random.choice(60, 3)
    ]  # fmt: skip
    asked = [
        (user, item, moment) for user in (0, 1) for item in range(60) for moment in (times[100], BASE + 1e6)
    ]
    check_shown(rows, asked)


@quick
@given(ROWS, st.integers(0, USERS - 1), MOMENTS, st.integers(1, 4))
def test_the_newest_lists_are_told_up_to_the_time_itself_oldest_first(rows, user, moment, limit):
    found = [(time, items.tolist()) for time, items in lists_of(rows).newest(user, moment, limit)]
    assert found == lists_before(rows, user, np.nextafter(moment, np.inf))[-limit:]


@pytest.mark.parametrize("user", [0, -1])
def test_where_no_list_was_shown_nothing_was_met(user):
    lists = lists_of([])
    found = lists.shown(np.array([user]), np.array([0]), np.array([BASE]))
    assert found.counts.tolist() == [0]
    assert np.isnan(found.last).all()
    assert lists.newest(0, np.inf, 5) == []
