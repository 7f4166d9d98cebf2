from hypothesis import given
from hypothesis import strategies as st

from app import keys

names = st.text(min_size=1, max_size=8)


@given(names)
def test_no_item_shares_the_key_that_says_when_counting_began(item):
    assert keys.record("layout", item) != keys.began("layout")
    assert keys.began("layout") not in {keys.record(layout, item) for layout in ("layout", "l")}


@given(names, names)
def test_two_users_share_no_key(first, second):
    same = keys.user(first, keys.HISTORY) == keys.user(second, keys.HISTORY)
    assert same == (first == second)
