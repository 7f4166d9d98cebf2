from hypothesis import given
from hypothesis import strategies as st

from app import keys

names = st.text(min_size=1, max_size=8)
HEAD = keys.began("abc").encode()


@given(names)
def test_no_item_shares_the_key_that_says_when_counting_began(item):
    assert keys.record("layout", item) != keys.began("layout")
    assert keys.began("layout") not in {keys.record(layout, item) for layout in ("layout", "l")}


@given(names, names)
def test_two_users_share_no_key(first, second):
    same = keys.user(first, keys.HISTORY) == keys.user(second, keys.HISTORY)
    assert same == (first == second)


@given(names)
def test_a_users_key_says_whose_it_is(name):
    found = [keys.user(name, what) for what in (keys.HISTORY, keys.PROFILE, keys.SHOWN)]
    vector = keys.vector(name, "f0")
    assert {keys.owner(key.encode()) for key in found} == {name}
    assert keys.owner(vector.encode()) is None
    assert {keys.item(key.encode(), HEAD) for key in [*found, vector]} == {None}


@given(names)
def test_a_records_key_says_of_what_it_is(name):
    assert keys.item(keys.record("abc", name).encode(), HEAD) == name
    assert keys.item(keys.record("abcd", name).encode(), HEAD) is None
    assert keys.owner(keys.record("abc", name).encode()) is None


def test_the_beginning_of_counting_is_of_no_item():
    assert keys.item(keys.began("abc").encode(), HEAD) == keys.BEGAN
    assert keys.item(keys.began("abcd").encode(), HEAD) is None
    assert keys.owner(keys.text(b"t" * 16, "f0").encode()) is None
