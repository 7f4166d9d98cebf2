import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.counters import MEMORY, SLOTS, Layout, Statistics, layout

BASE = 33_730 * 50_400.0  # in 2023, where a bucket of every window begins
ITEMS, EVENTS, WINDOWS, LATEST = 3, ("click", "view"), ("15m", "1h", "7d"), ("price",)
LAYOUT = layout(EVENTS, WINDOWS, LATEST)
STEPS = st.sampled_from([75.0, 300.0, 50_400.0])  # those of the windows
SECONDS = st.builds(lambda step, buckets: step * buckets, STEPS, st.integers(0, 16) | st.floats(0, 16))
LOG = st.lists(
    st.tuples(st.integers(0, ITEMS - 1), st.integers(0, 1), SECONDS.map(BASE.__add__)), max_size=40
)
NOW = SECONDS.map(BASE.__add__)
quick = settings(deadline=None, max_examples=150)


def columns(log):
    """Items, events and times of a log."""
    parts = zip(*log, strict=True) if log else ((), (), ())
    return [np.array(part, dtype=kind) for part, kind in zip(parts, (np.int64, np.int64, float), strict=True)]


def records(log, told: Layout = LAYOUT):
    """Records of a log, in which each event also tells its place in the log as the item's price."""
    items, events, times = columns(log)
    found = told.count(ITEMS, items, events, times)
    for column in told.latest:
        told.remember(found, column, items, times=times, values=np.arange(len(log), dtype=np.float64))
    return found


def between(log, start, stop):
    """Number of each item's events of each kind with start <= time < stop."""
    counts = np.zeros((ITEMS, len(EVENTS)))
    for item, event, time in log:
        counts[item, event] += start <= time < stop
    return counts


def same(one: Statistics, other: Statistics) -> None:
    for name in ("counts", "last", "first", "latest"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)


def ring(told: Layout, log):
    """Records written event by event, as the service does in Redis."""
    written = told.blank(ITEMS)
    for item, event, time in log:
        record = written[item]
        record["first"] = min(record["first"] or time, time)
        cell = record["events"][event]
        cell["last"] = max(cell["last"], time)
        for number, window in enumerate(told.windows):
            counts, newest = cell["rings"]["counts"][number], int(cell["rings"]["newest"][number])
            bucket = int(window.bucket(np.array(time)))
            for passed in range(max(newest, bucket - SLOTS) + 1, bucket + 1):
                counts[passed % SLOTS] = 0
            cell["rings"]["newest"][number] = max(newest, bucket)
            if bucket > newest - SLOTS:
                counts[bucket % SLOTS] += 1
    return written


# what is read


@quick
@given(LOG, NOW)
def test_what_is_counted_are_the_events_from_the_windows_start_to_just_before_now(log, now):
    log = [event for event in log if event[2] < now]
    found = LAYOUT.read(records(log), np.array([now]))
    for number, window in enumerate(LAYOUT.windows):
        start = window.start(np.array([now]))[0]
        np.testing.assert_array_equal(found.counts[:, :, number], between(log, start, now))


@quick
@given(LOG, NOW)
def test_the_times_are_those_of_the_newest_event_of_a_kind_and_of_the_first_of_all(log, now):
    found = LAYOUT.read(records(log), np.array([now]))
    for item in range(ITEMS):
        times = [[time for i, e, time in log if (i, e) == (item, event)] for event in range(2)]
        np.testing.assert_array_equal(found.last[item], [max(each, default=np.nan) for each in times])
        np.testing.assert_array_equal(found.first[item], min([*times[0], *times[1]], default=np.nan))


@quick
@given(LOG, st.lists(NOW, min_size=ITEMS, max_size=ITEMS))
def test_a_record_read_among_others_at_moments_of_their_own_is_as_read_alone(log, moments):
    written, now = records(log), np.array(moments)
    together = LAYOUT.read(written, now)
    for row in range(ITEMS):
        alone = LAYOUT.read(written[row : row + 1], now[row : row + 1])
        same(alone, Statistics(*(part[row : row + 1] for part in vars(together).values())))


@quick
@given(LOG, NOW, NOW)
def test_of_a_record_read_up_to_a_time_what_lies_in_its_bucket_or_later_is_left_out(log, now, before):
    log = [event for event in log if event[2] < now]
    found = LAYOUT.read(records(log), np.array([now]), before)
    for number, window in enumerate(LAYOUT.windows):
        start, stop = window.start(np.array([now]))[0], window.bucket(np.array(before)) * window.step
        np.testing.assert_array_equal(found.counts[:, :, number], between(log, start, min(stop, now)))


@quick
@given(LOG, NOW, NOW)
def test_a_log_cut_in_two_records_counts_as_one_after_the_other(log, now, cut):
    log = sorted((event for event in log if event[2] < now), key=lambda event: event[2])
    early = [event for event in log if event[2] < cut]
    both = [LAYOUT.read(records(part), np.array([now])) for part in (early, log[len(early) :])]
    both[1].latest[:] += len(early)  # places in the whole log
    same(both[1].after(both[0]), LAYOUT.read(records(log), np.array([now])))


@quick
@given(LOG, NOW, NOW, st.booleans())
def test_what_is_read_up_to_a_time_and_what_was_counted_since_never_overlap(log, now, since, on_the_grid):
    since = since // 50_400 * 50_400 if on_the_grid else since  # a multiple of every step
    log = [event for event in log if event[2] < now]
    live = LAYOUT.read(records([event for event in log if event[2] >= since]), np.array([now]))
    total = live.after(LAYOUT.read(records(log), np.array([now]), since)).counts
    whole = LAYOUT.read(records(log), np.array([now])).counts
    assert (total <= whole).all()
    assert not on_the_grid or (total == whole).all()


@quick
@given(LOG, NOW, st.integers(0, 12), st.floats(0, 1e6))
def test_moved_by_some_seconds_the_log_stands_as_if_all_had_happened_so_much_later(log, now, steps, seconds):
    log, later = [event for event in log if event[2] < now], 50_400.0 * steps  # a multiple of every step
    moved = LAYOUT.read(records(log), np.array([now])).moved(np.array([later]))
    shifted = records([(item, event, time + later) for item, event, time in log])
    same(moved, LAYOUT.read(shifted, np.array([now + later])))
    each = LAYOUT.read(records(log), np.array([now])).moved(np.full((ITEMS, 1), seconds))
    same(each, LAYOUT.read(records(log), np.array([now])).moved(np.array([seconds])))


def test_an_event_a_minute_ahead_of_the_reader_costs_no_older_one_its_place():
    now = 75.0 * 22_666_680 + 74
    log = [(0, 0, now - 75 * back) for back in range(12)]
    before, after = (LAYOUT.read(records(part), np.array([now])) for part in (log, [*log, (0, 0, now + 60)]))
    assert before.counts[0, 0, 0] == after.counts[0, 0, 0] == 12


def test_an_item_of_which_nothing_is_known_has_no_counts_and_no_times():
    found = LAYOUT.read(LAYOUT.blank(2), np.array([BASE]))
    assert found.counts.shape == (2, 2, 3)
    assert not found.counts.any()
    assert np.isnan(np.hstack([found.last, found.first[:, None], found.latest])).all()


# what is written


@quick
@given(LOG.flatmap(lambda log: st.tuples(st.just(log), st.permutations(log))))
def test_events_in_any_order_and_one_by_one_make_the_same_record(logs):
    told = layout(EVENTS, WINDOWS)
    counted = told.count(ITEMS, *columns(logs[0]))
    assert all(ring(told, log).tobytes() == counted.tobytes() for log in logs)


def test_an_event_that_no_window_can_hold_any_more_leaves_the_rings_alone():
    log = [(0, 0, BASE), (0, 0, BASE - 9 * 86_400)]
    one, both = (records(part)["events"][0, 0] for part in (log[:1], log))
    assert both.tobytes() == one.tobytes()


@quick
@given(
    st.lists(
        st.tuples(st.integers(0, ITEMS - 1), st.just(0), st.integers(0, 3).map(lambda at: BASE + at)),
        max_size=12,
    )
)
def test_the_newest_value_of_a_column_is_kept_and_of_two_at_a_time_the_later_in_the_log(log):
    found = LAYOUT.read(records(log), np.array([BASE + 9])).latest[:, 0]
    for item in range(ITEMS):
        told = [(time, place) for place, (owner, _, time) in enumerate(log) if owner == item]
        np.testing.assert_array_equal(found[item], max(told, default=(0, np.nan))[1])


def test_what_happened_more_than_thirty_days_ago_is_forgotten_but_not_when_the_item_came():
    log = [(0, 0, BASE), (1, 0, BASE + 1)]
    found = LAYOUT.read(records(log), np.array([BASE + MEMORY + 0.5]))
    np.testing.assert_array_equal(found.last[:2, 0], [np.nan, BASE + 1])
    np.testing.assert_array_equal(found.latest[:2, 0], [np.nan, 1])
    np.testing.assert_array_equal(found.first[:2], [BASE, BASE + 1])


def test_columns_alone_are_kept_where_no_event_is_counted():
    told = layout((), WINDOWS, ("price",))
    found = told.read(records([(1, 0, BASE)], told), np.array([BASE + 1]))
    assert found.counts.shape == (ITEMS, 0, 3)
    np.testing.assert_array_equal(found.latest[:, 0], [np.nan, 0, np.nan])


# the layout


@pytest.mark.parametrize("shape", [*itertools.product((0, 1, 3), (1, 5), (0, 2))])
def test_a_record_has_no_gaps(shape):
    events, windows, latest = (names[:n] for names, n in zip(("abc", WINDOWS * 2, "xy"), shape, strict=True))
    size = layout(events, windows, latest).dtype.itemsize
    assert size == 8 + len(events) * (8 + len(windows) * (4 + 4 * SLOTS)) + len(latest) * 16


def test_a_record_is_the_same_after_its_bytes():
    written = records([(0, 0, BASE), (2, 1, BASE + 80)])
    read = np.frombuffer(b"".join(record.tobytes() for record in written), dtype=LAYOUT.dtype)
    same(LAYOUT.read(read, np.array([BASE + 99])), LAYOUT.read(written, np.array([BASE + 99])))


@pytest.mark.parametrize(
    "other",
    [(("view", "click"), WINDOWS, LATEST), (EVENTS, WINDOWS[:2], LATEST), (EVENTS, WINDOWS, ()),
     (EVENTS, ("15m", "1h", "6d"), LATEST), (("click",), WINDOWS, ("view", "price"))],
)  # fmt: skip
def test_another_layout_has_another_digest(other):
    assert layout(*other).digest != LAYOUT.digest == layout(EVENTS, WINDOWS, LATEST).digest


def test_a_layout_is_empty_only_without_events_and_columns():
    assert layout((), WINDOWS).empty
    assert not layout(("click",), WINDOWS).empty
    assert not layout((), WINDOWS, LATEST).empty


def test_what_is_no_window_is_refused():
    with pytest.raises(ValueError, match="'5m' is no window"):
        layout(EVENTS, ("1h", "5m"))
