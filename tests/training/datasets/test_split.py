"""Where queries fall."""

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.datasets.split import query_buckets

QUERIES = [f"query {number}" for number in range(2_000)]


@given(st.text())
def test_the_tenth_is_md5_modulo_ten(query: str) -> None:
    digit = int(hashlib.md5(query.encode(), usedforsecurity=False).hexdigest(), 16) % 10
    (place,) = query_buckets([query])
    assert digit / 10 <= place < (digit + 1) / 10


def test_a_query_falls_in_one_place_only() -> None:
    assert np.array_equal(query_buckets(QUERIES), query_buckets(QUERIES[::-1])[::-1])
    assert len(set(query_buckets(QUERIES))) > 1_990


def test_shares_finer_than_a_tenth_hold_their_part() -> None:
    places = query_buckets(QUERIES)
    assert abs((places >= 0.95).mean() - 0.05) < 0.02
    assert abs((places < 0.33).mean() - 0.33) < 0.04


def test_no_query_is_no_place() -> None:
    assert query_buckets([]).shape == (0,)
