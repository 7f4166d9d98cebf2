import numpy as np
import pytest

from benchmarks.chaos.away import waits
from benchmarks.chaos.storm import Storm


def seen(begun, ended, healed):
    """Requests that wait for 5 ms, for 30 when the fault begins, for 8 during it and for 6 once it has healed."""
    due = np.arange(0.0, 13.0, 0.01)
    met = np.select(
        [due < begun, due < begun + 0.5, due < ended, due < ended + healed], [5.0, 30.0, 8.0, 99.0], 6.0
    )
    status = np.where(due < 12.98, 200, 503)
    return Storm(1_000.0, due, met, status, np.zeros(len(due), bool), 0.1)


@pytest.mark.parametrize("begun", [4.2, 4.5, 4.8])
def test_windows_are_those_of_the_fault_whenever_the_generator_began(begun):
    ended = begun + 4.0
    found = waits(seen(begun, ended, 1.0), begun, ended, 1.0)
    assert found == {
        "requests": 1_300, "not 200": 2, "p99 before, ms": 5.0, "added at once, ms": 25.0, "added during, ms": 3.0,
        "after, ms": 1.0,
    }  # fmt: skip


def test_who_heals_too_late_leaves_nothing_to_compare():
    assert waits(seen(4.5, 8.5, 1.0), 4.5, 8.5, 5.0)["after, ms"] == float("inf")


def test_what_is_compared_is_the_same_requests():
    """One in a hundred that waits in each period alike adds nothing."""
    due = np.arange(0.0, 13.0, 0.01)
    met = np.where(np.isclose(due % 4.0 % 1.0, 0.25), 50.0, 5.0)
    found = waits(Storm(1_000.0, due, met, np.full(len(due), 200), due > 0, 0.1), 4.6, 8.6, 0.5)
    assert [found[name] for name in ("added at once, ms", "added during, ms", "after, ms")] == [0.0, 0.0, 0.0]
