import os
from threading import Thread

import pytest

from app.tally import SIZE, Tally, series


def test_a_sibling_reads_what_was_counted_and_one_that_comes_later_goes_on_with_it():
    handle = Tally.shared()
    first = Tally(handle)
    place = first.place("requests", 2)
    first.values[place + 1] += 3.0
    [seen] = series(os.pread(handle, SIZE, 0))
    later = Tally(handle)
    assert (seen.name, seen.width) == ("requests", 2)
    assert later.place("requests", 2) == place == seen.place
    assert later.values[place + 1] == 3.0
    os.close(handle)


def test_a_new_series_never_touches_another():
    tally = Tally()
    places = {name: tally.place(name, width) for width, name in enumerate(["a", "bb", "ü" * 9], 1)}
    for name, place in places.items():
        tally.values[place] = len(name)
    assert {name: tally.values[place] for name, place in places.items()} == {"a": 1, "bb": 2, "ü" * 9: 9}
    assert [each.name for each in tally.series()] == list(places)


def test_threads_lose_no_count():
    tally = Tally()
    place = tally.place("n", 1)

    def count():
        for _ in range(100_000):
            tally.values[place] += 1.0

    threads = [Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tally.values[place] == 400_000


def test_a_label_that_takes_any_value_is_told_by_name():
    tally = Tally()
    tally.place("wide", SIZE // 8 - 10)
    with pytest.raises(MemoryError, match="no room for the metric users"):
        tally.place("users", 10)
