import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from app.lookup import Lookup

NAMES = st.lists(st.text(max_size=4), max_size=60, unique=True)


@given(NAMES, st.lists(st.none() | st.text(max_size=4), max_size=60))
def test_each_name_has_its_number_and_others_none(names, asked):
    numbers = np.arange(len(names)) * 3 + 7
    lookup = Lookup(pl.Series(names, dtype=pl.String), numbers)
    known = dict(zip(names, numbers.tolist(), strict=True))
    for each in (names, asked, [*asked, *names]):
        found = lookup.find(pl.Series(each, dtype=pl.String))
        assert found.tolist() == [known.get(name, -1) for name in each]


def test_names_whose_places_are_taken_are_found_all_the_same():
    names = [f"item {number}" for number in range(20_000)]  # a thousand and more of them share their places
    lookup = Lookup(pl.Series(names), np.arange(len(names)))
    assert lookup.find(pl.Series(names[::-1])).tolist() == list(range(len(names)))[::-1]
