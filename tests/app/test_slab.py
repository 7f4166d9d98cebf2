import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.slab import SHARE, Slab
from model_store.counters import layout
from tests.app import plain

LAYOUT = plain.feature_set(plain.manifest()).layout


def records(*times: float):
    """Records that can be told apart."""
    found = LAYOUT.blank(len(times))
    found["first"] = times
    return found


def first(slab, *items, since=0.0):
    """Which record of each item is here, None for none."""
    found, missing = slab.gather(items, since)
    return [None if n in missing else float(found["first"][n]) for n in range(len(items))]


def test_records_are_gathered_in_the_order_asked():
    slab = Slab(LAYOUT, 1 << 20)
    slab.put(["a", "b", "c"], records(1, 2, 3), time=5.0)
    slab.put(["b"], records(20), time=6.0)
    assert first(slab, "c", "nobody", "b", "a", "c") == [3, None, 20, 1, 3]
    slab.drop("b")
    assert slab.items == ["a", "c"]


def test_where_nothing_is_counted_no_room_is_taken():
    tracemalloc.start()
    Slab(layout([], []), 32 << 20)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_what_is_not_here_is_blank():
    found, missing = Slab(LAYOUT, 1 << 20).gather(["nobody"], 0.0)
    assert found.tobytes() == LAYOUT.blank(1).tobytes()
    assert missing.tolist() == [0]


def test_what_is_too_old_is_missing():
    slab = Slab(LAYOUT, 1 << 20)
    slab.put(["a"], records(1), time=5.0)
    assert first(slab, "a", since=5.0) == [1]
    assert first(slab, "a", since=5.1) == [None]


def test_what_was_gathered_does_not_change_with_the_slab():
    slab = Slab(LAYOUT, 1 << 20)
    slab.put(["a"], records(1), time=5.0)
    found, _ = slab.gather(["a"], 0.0)
    slab.put(["a"], records(2), time=6.0)
    assert found["first"].tolist() == [1]


def test_when_it_is_full_those_read_longest_ago_make_room():
    slab = Slab(LAYOUT, 0)
    for number in range(SHARE + 1):
        slab.put([f"i{number}"], records(number), time=float(number))
    assert first(slab, "i0", f"i{SHARE}") == [None, SHARE]
    assert 0 < len(slab) <= SHARE


def test_more_than_it_holds_leave_the_first():
    slab = Slab(LAYOUT, 0)
    slab.put([f"i{number}" for number in range(3 * SHARE)], records(*range(3 * SHARE)), time=1.0)
    assert first(slab, "i0", f"i{SHARE}") == [0, None]


names = st.sampled_from([f"i{number}" for number in range(20)])
moves = st.one_of(
    st.tuples(st.just("put"), st.lists(names, max_size=12, unique=True)),
    st.tuples(st.just("drop"), names),
    st.tuples(st.just("clear"), st.none()),
)


@given(st.lists(moves, max_size=40))
def test_whatever_happens_an_item_has_its_own_newest_record_or_none(moves):
    slab, newest = Slab(LAYOUT, 0), {}
    for number, (what, value) in enumerate(moves, 1):
        if what == "put":
            marks = [number + place / 100 for place in range(len(value))]
            slab.put(value, records(*marks), time=float(number))
            newest |= dict(zip(value, marks, strict=True))
        elif what == "drop":
            slab.drop(value)
            newest.pop(value, None)
        else:
            slab.clear()
            newest = {}
        asked = [f"i{number}" for number in range(20)]
        held = first(slab, *asked)
        assert all(mark is None or mark == newest[item] for item, mark in zip(asked, held, strict=True))
        assert len(slab) == sum(mark is not None for mark in held)
    assert np.isnan(slab.gather(["nobody"], 0.0)[0]["latest"]["value"]).all()
