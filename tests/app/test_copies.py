from hypothesis import given
from hypothesis import strategies as st

from app.copies import Copies


def test_those_that_were_put_first_go_first_when_there_are_too_many():
    copies = Copies[int](2, 1_000)
    for number, name in enumerate("abac"):
        copies.put(name, number, time=0.0, size=1)
    assert [copies.last(name) for name in "abc"] == [2, None, 3]


def test_those_that_were_put_first_go_first_when_they_are_too_large():
    copies = Copies[int](10, 100)
    copies.put("a", 1, time=0.0, size=60)
    copies.put("b", 2, time=0.0, size=40)
    copies.put("c", 3, time=0.0, size=50)
    assert [copies.last(name) for name in "abc"] == [None, 2, 3]
    copies.put("huge", 4, time=0.0, size=101)
    assert len(copies) == 0


def test_what_is_too_old_is_only_the_last_that_was_known():
    copies = Copies[int](2, 100)
    copies.put("a", 1, time=10.0, size=1)
    assert (copies.get("a", 10.0), copies.get("a", 10.1), copies.last("a")) == (1, None, 1)


def test_the_names_of_those_that_were_put_here_last_come_first():
    copies = Copies[int](3, 100)
    for name in "abca":
        copies.put(name, 1, time=10.0, size=1)
    assert copies.names == ["a", "c", "b"]


moves = st.tuples(st.sampled_from(["put", "drop", "clear"]), st.sampled_from("abcdef"), st.integers(0, 50))


@given(st.lists(moves, max_size=60))
def test_whatever_happens_the_room_is_never_exceeded_and_comes_back(moves):
    copies, kept = Copies[int](4, 100), {}
    for what, name, size in moves:
        if what == "put":
            copies.put(name, size, time=0.0, size=size)
            kept[name] = size
        elif what == "drop":
            copies.drop(name)
        else:
            copies.clear()
        held = [kept[each] for each in kept if copies.last(each) is not None]
        assert len(copies) == len(held) <= 4
        assert sum(held) <= 100
    copies.clear()
    copies.put("z", 1, time=0.0, size=100)
    assert copies.last("z") == 1
