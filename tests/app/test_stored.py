import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.stored import LATEST, pack, seconds, unpack


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
