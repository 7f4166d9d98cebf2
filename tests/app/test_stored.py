import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.stored import LATEST, pack, seconds, stored, unpack


@given(st.binary(max_size=200))
def test_any_bytes_are_a_vector_of_the_right_sum_or_none(value):
    row = unpack(value, 4)
    assert row is None or pack(row) == value


@given(st.integers(0, 35), st.integers(1, 255))
def test_one_changed_byte_makes_a_vector_absent(place, change):
    value = bytearray(pack(np.arange(4, dtype=np.float32), b"d" * 16))
    value[place] ^= change
    assert unpack(bytes(value), 4, tag=16) is None


@given(
    st.one_of(
        st.binary(max_size=12), st.none(), st.lists(st.binary()), st.floats().map(lambda t: str(t).encode())
    )
)
def test_a_time_is_plausible_or_none(value):
    time = seconds(value)
    assert time is None or 0.0 <= time < LATEST


entries = st.lists(
    st.sampled_from([b'["a","click",1.0]', b'["b","click",2]', b"[", b"{}", b'["c","click",NaN]', b""])
)


@given(entries)
def test_events_are_read_one_by_one_where_one_is_damaged(values):
    told = {b'["a","click",1.0]': ("a", "click", 1.0), b'["b","click",2]': ("b", "click", 2.0)}
    expected = tuple(told[value] for value in reversed(values) if value in told)
    assert stored([values, None, None], 4).history == expected


def test_what_did_not_change_is_the_same_object():
    row = pack(np.arange(4, dtype=np.float32), b"d" * 16)
    results = [[b'["a","click",1.0]', b'["b","click",2.0]'], b'{"city":"Odense"}', row]
    first = stored(results, 4)
    assert stored([list(results[0]), *results[1:]], 4, first) is first
    for place, other in enumerate([results[0][:1], b"{}", None]):
        changed = stored([*results[:place], other, *results[place + 1 :]], 4, first)
        assert changed is not first


@pytest.mark.parametrize("wrong", [ValueError("WRONGTYPE"), None, b"text", 7])
def test_what_is_of_the_wrong_type_is_absent(wrong):
    found = stored([wrong if wrong != b"text" else None, wrong if wrong != b"text" else [], wrong], 4)
    assert (found.history, found.profile, found.vector, found.digest) == ((), {}, None, b"")
