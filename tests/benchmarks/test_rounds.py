from hypothesis import given
from hypothesis import strategies as st

from benchmarks.speed.rounds import order, ratios, spread


@given(st.lists(st.text(), min_size=1, unique=True), st.integers(0, 50))
def test_everyone_comes_once_a_round(names, number):
    assert sorted(order(names, number)) == sorted(names)


def test_everyone_is_first_once_in_as_many_rounds_as_there_are_contenders():
    names = ["a", "b", "c", "d", "e"]
    assert [order(names, number)[0] for number in range(5)] == names


def test_ratios_are_taken_within_a_round_before_they_are_summarised():
    found = ratios({"ours": [100.0, 10.0, 60.0], "theirs": [50.0, 10.0, 20.0]}, "ours")
    assert found == {"theirs": {"median": 2.0, "min": 1.0, "max": 3.0, "rounds": [2.0, 1.0, 3.0]}}


def test_a_spread_has_the_middle_and_the_ends():
    assert spread([3.0, 1.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 3.0, "rounds": [3.0, 1.0, 2.0]}
