from dataclasses import replace

import numpy as np
import pytest

from app import round as rounds
from app.question import Ask, Known
from app.slate import Columns, Slate
from app.state import Live
from model_store.fusion import Fusion
from tests.app.test_pasts import past

CLICKS = Fusion("weighted_sum", {"click": 1.0})
SIZE = 12_000


@pytest.fixture(scope="module")
def columns():
    zeros, nothing = np.zeros(SIZE), np.zeros((SIZE, 0), np.float32)
    return Columns(
        range(SIZE), np.zeros((SIZE, 1), np.float32), zeros, {}, {}, nothing, nothing.astype(np.uint16)
    )


def of(columns, sizes, *, apart=False, **fields):
    """Rounds of asks with so many candidates each; fields: a value for each ask."""
    asks = [Ask(now=float(number), fusion=CLICKS) for number in range(len(sizes))]
    lives = fields.pop("live", [None] * len(asks))
    for name, values in fields.items():
        asks = [replace(ask, **{name: value}) for ask, value in zip(asks, values, strict=True)]
    known = [
        Known(past=past(), user=np.zeros(1), query=None, texts={}, cache="bypass", live=live)
        for live in lives
    ]
    slates = [Slate(np.arange(size), columns, np.arange(size)) for size in sizes]
    return list(rounds.rounds(asks, known, slates, apart=apart))


def test_asks_share_a_round_and_know_their_candidates(columns):
    [(numbers, found)] = of(columns, [2, 0, 3])
    assert numbers == [0, 2]
    assert found.slate.rows.tolist() == [0, 1, 0, 1, 2]
    assert found.owners.tolist() == [0, 0, 1, 1, 1]
    assert found.parts == [slice(0, 2), slice(2, 5)]
    assert found.lists.tolist() == [0, 2]
    assert found.each(np.array([7.0, 9.0])).tolist() == [7, 7, 9, 9, 9]


def test_candidates_that_stand_apart_are_lists_of_their_own(columns):
    [(_, found)] = of(columns, [2, 1], apart=True)
    assert found.lists.tolist() == [0, 1, 2]


def test_what_all_candidates_share_is_told_once(columns):
    [(_, found)] = of(columns, [3])
    assert found.each(np.array([7.0])).tolist() == [7]


def test_asks_that_weigh_or_explain_otherwise_are_other_rounds(columns):
    same = Fusion("weighted_sum", {"click": 1.0})
    product = Fusion("weighted_product", {"click": 1.0})
    found = of(columns, [1] * 4, fusion=[CLICKS, product, same, CLICKS], explain=[False, False, False, True])
    assert [numbers for numbers, _ in found] == [[0, 2], [1], [3]]
    assert [each.fusion for _, each in found] == [CLICKS, product, CLICKS]
    assert [each.explain for _, each in found] == [False, False, True]


def test_asks_of_other_trips_share_a_round_and_keep_what_their_own_trip_counted(columns):
    def live(began, *counts):
        return Live(tuple(range(len(counts))), np.array(counts), began)

    lives = [live(5.0, 1, 2, 3), live(5.0, 10, 20), None, live(None, 7), live(5.0, 8)]
    found = of(columns, [2, 2, 1, 1, 1], live=lives)
    assert [numbers for numbers, _ in found] == [[0, 1, 4], [2], [3]]
    joined, none, alone = (each.live for _, each in found)
    assert (joined.items, joined.began) == ((0, 1, 0, 1, 0), 5.0)
    assert joined.records.tolist() == [1, 2, 10, 20, 8]
    assert none is None
    assert alone is lives[3]


def test_a_round_is_bounded_and_an_ask_stays_whole(columns):
    found = of(columns, [6_000, 2_000, 2_000, 10_000, 10])
    assert [numbers for numbers, _ in found] == [[0, 1], [2], [3], [4]]
    assert all(len(each.asks) == 1 or len(each.slate) <= rounds.MOST for _, each in found)


def test_each_ask_of_a_round_can_be_asked_alone(columns):
    [(_, found)] = of(columns, [2, 3], apart=True)
    first, second = found.alone()
    assert (second.asks, second.known) == (found.asks[1:], found.known[1:])
    assert second.slate.rows.tolist() == [0, 1, 2]
    assert second.lists.tolist() == [0, 1, 2]
    assert first.sizes.tolist() == [2]


@pytest.mark.parametrize(
    "sizes", [[1], [8_192], [8_193], [18_000], [3, 8_189, 1], [1] * 9_000, [2, 16_382, 3, 1]]
)
def test_pairs_that_stand_apart_are_cut_anywhere_and_know_their_asks(columns, sizes):
    asks = [Ask(now=float(number), fusion=CLICKS) for number in range(len(sizes))]
    rows = np.arange(sum(sizes)) % SIZE
    found = list(rounds.stretches(asks, asks, Slate(rows, columns, rows), np.array(sizes)))
    assert [part.start for part, _ in found] == list(range(0, sum(sizes), rounds.MOST))
    assert all(len(each.slate) == part.stop - part.start for part, each in found)
    assert np.concatenate([each.slate.rows for _, each in found]).tolist() == rows.tolist()
    owners = [each.asks[owner].now for _, each in found for owner in each.owners.tolist()]
    assert owners == np.repeat(np.arange(len(sizes)), sizes).tolist()
    assert all((each.sizes > 0).all() and each.apart for _, each in found)
