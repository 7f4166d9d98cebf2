"""How the work of a batch is cut."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.admission import HEAD
from app.candidates import Candidates
from app.question import Ask
from app.shares import AT_ONCE, PART, parts, shares, sizes, work
from model_store.fusion import Fusion

FUSION = Fusion("weighted_sum", {"click": 1.0})
SIZES = st.lists(st.none() | st.integers(0, 2 * PART), max_size=40)


class Many(tuple[str, ...]):
    """So many ids, without their making."""

    def __new__(cls, size):
        made = super().__new__(cls)
        made.size = size
        return made

    def __len__(self):
        return self.size


def ask(size):
    return Ask(now=0.0, fusion=FUSION, candidates=None if size is None else Candidates(Many(size)))


@given(SIZES)
def test_parts_hold_every_ask_once_in_order_and_no_more_than_fits_unless_one_alone_is_more(given):
    asks = [ask(size) for size in given]
    cut = list(parts(asks))
    assert [one for part in cut for one in asks[part]] == asks
    for part in cut:
        assert len(asks[part]) <= 1 or sum(sizes(asks[part])) + HEAD * len(asks[part]) <= PART


@given(SIZES)
def test_no_two_parts_that_follow_each_other_would_fit_into_one(given):
    asks = [ask(size) for size in given]
    held = [sum(sizes(asks[part])) + HEAD * len(asks[part]) for part in parts(asks)]
    assert all(first + second > PART for first, second in pairwise(held))


def test_the_benchmark_s_batch_is_one_part():
    assert list(parts([ask(100)] * 64)) == [slice(0, 64)]


def test_work_is_counted_as_it_is_admitted():
    assert work([ask(7), ask(None)]) == 7 + HEAD


@given(st.lists(st.integers(0, 5 * AT_ONCE), min_size=1, max_size=40), st.integers(1, 8))
def test_shares_hold_all_work_once_and_are_no_more_than_there_are_threads(given, most):
    cut = shares(given, most)
    assert [one for share in cut for one in given[share]] == given
    assert len(cut) <= max(1, min(most, sum(given) // AT_ONCE))
