from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training import toy
from training.dataset import SPLITS, Histories

USERS = st.integers(0, 3)
MOMENTS = st.integers(0, 30).map(lambda tick: 1_700_000_000.25 + tick)


@settings(deadline=None)
@given(
    st.lists(st.tuples(USERS, MOMENTS)),
    st.integers(-1, 3),
    MOMENTS,
    st.integers(1, 5),
    st.sampled_from([1, 40_001]),
)
def test_before_counts_what_a_loop_counts_however_many_users_there_are(past, user, moment, limit, stretch):
    """With `stretch` the four users have numbers up to 120 003."""
    past = sorted(past)
    owners = np.array([owner * stretch for owner, _ in past], dtype=np.int64)
    times = np.array([time for _, time in past])
    starts = np.searchsorted(owners, np.arange(3 * stretch + 2))
    zeros = np.zeros(len(past), dtype=np.int64)
    wanted = user * stretch if user >= 0 else -1
    ((start, stop),) = Histories(zeros, zeros, times, starts).before(
        np.array([wanted]), np.array([moment]), limit
    )
    expected = [place for place, (owner, time) in enumerate(past) if owner == user and time < moment]
    assert list(range(start, stop)) == expected[-limit:]


def test_events_are_met_by_all_whose_history_they_stand_in():
    histories = Histories(np.arange(5), np.array([1, 2, 2, 3, 1]), np.arange(5.0), np.array([0, 5]))
    assert histories.often(np.array([[0, 3], [1, 4], [2, 2], [0, 0]]), 5).tolist() == [
        0.0,
        1.0,
        4.0,
        1.0,
        0.0,
    ]


# requests


def test_every_row_has_its_request_and_every_request_its_part():
    requests = toy.made().requests
    sizes = np.diff(requests.starts)
    assert requests.owners.tolist() == [number for number, size in enumerate(sizes) for _ in range(size)]
    parts = [requests.of(split) for split in SPLITS]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(requests)))
    assert max(requests.times[parts[0]]) <= min(requests.times[parts[1]])


@pytest.mark.parametrize("split", SPLITS)
def test_the_rows_of_a_part_are_those_of_its_requests(split):
    dataset = toy.made()
    requests = dataset.requests
    rows = [np.arange(*requests.starts[number : number + 2]) for number in requests.of(split)]
    np.testing.assert_array_equal(dataset.select(split), np.concatenate(rows))


# the newest of all


def test_the_end_is_the_newest_of_requests_histories_and_what_is_counted():
    rows = toy.log()
    newest = rows[-1]["time"]
    assert toy.made().end == newest  # nothing is counted
    later = {"user": "u0", "item": "i0", "events": ["buy"], "time": newest + 9}  # no request, only history
    assert toy.build([*rows, later], toy.settings()).end == newest + 9
    counted = toy.settings(features={"use": ["count:view"]})
    seen = {"user": None, "item": "i0", "time": newest + 7, "impression": "last"}  # neither
    assert toy.build([*rows, seen], toy.settings()).end == newest
    assert toy.build([*rows, seen], counted).end == newest + 7


# a part of it


def test_a_cut_holds_these_requests_with_these_of_their_rows():
    dataset = toy.made(events={"context": ["device"]}, features={"use": ["context:device", "again"]})
    told = np.arange(len(dataset.rows), dtype=np.float32)[:, None]
    dataset = replace(dataset, taught={"click": told})
    numbers = np.array([7, 3, 50])
    starts = dataset.requests.starts
    rows = [np.arange(starts[number], starts[number] + 2)[::-1] for number in numbers]
    cut = dataset.cut(numbers, rows)
    kept = np.concatenate(rows)
    assert cut.requests.starts.tolist() == [0, 2, 4, 6]
    for name in ("users", "queries", "times", "splits", "history"):
        np.testing.assert_array_equal(
            getattr(cut.requests, name), getattr(dataset.requests, name)[numbers], err_msg=name
        )
    np.testing.assert_array_equal(cut.rows, dataset.rows[kept])
    np.testing.assert_array_equal(cut.words["device"], dataset.words["device"][numbers])
    for name, labels in cut.labels.items():
        np.testing.assert_array_equal(labels, dataset.labels[name][kept])
    np.testing.assert_array_equal(cut.taught["click"], told[kept])
    assert cut.context.size == 0


def test_a_cut_is_still_part_of_the_same_log():
    dataset = toy.made(features={"use": ["count:view"]})
    cut = dataset.cut(np.array([3]), [np.arange(*dataset.requests.starts[3:5])])
    assert cut.log is dataset.log
    assert cut.histories is dataset.histories
    assert cut.features == dataset.features


def test_facts_count_what_there_is():
    dataset = toy.made()
    assert dataset.facts == {
        "items": 12, "users": 6, "texts": len(dataset.texts), "requests": {"train": 36, "validation": 12, "test": 12},
        "rows": {name: len(dataset.select(name)) for name in ("train", "validation", "test")},
        "history_events": len(dataset.histories.items),
    }  # fmt: skip
