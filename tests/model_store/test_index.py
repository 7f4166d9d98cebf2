from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.index import CELLS, CENTRES, Cells, Exact, best, read, write

WIDE = 1e9  # a reach that leaves no cell out


def table(count, seed=0, width=6):
    random = np.random.default_rng(seed)
    vectors = random.normal(size=(count, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def cells(vectors, reach=WIDE, size=7):
    """Cells of consecutive rows: not near each other, which only an index that leaves some out minds."""
    starts = np.array([*range(0, len(vectors), size), len(vectors)])
    centres = np.stack([vectors[start:stop].mean(0) for start, stop in pairwise(starts)])
    return Cells(vectors, starts, centres.astype(np.float32), reach)


INDEXES = {"exact": Exact, "cells": cells}


@pytest.mark.parametrize("kind", INDEXES)
@settings(max_examples=60)
@given(st.data())
def test_the_best_rows_are_found_with_their_products(kind, data):
    count = data.draw(st.integers(1, 60))
    vectors = table(count, data.draw(st.integers(0, 99)))
    vector, limit = table(1, data.draw(st.integers(100, 199)))[0], data.draw(st.integers(1, 70))
    gone = np.array(data.draw(st.none() | st.lists(st.booleans(), min_size=count, max_size=count)))
    gone = None if gone.shape == () else gone
    rows = data.draw(st.none() | st.sets(st.integers(0, count - 1)))
    index = INDEXES[kind](vectors)
    if rows is None:
        found, products = index.nearest(vector, limit, gone)
    else:
        found, products = index.among(np.array(sorted(rows), dtype=np.int64), vector, limit, gone)
    allowed = [row for row in (range(count) if rows is None else rows) if gone is None or not gone[row]]
    truth = vectors @ vector
    assert len(found) == len(set(found.tolist())) == min(limit, len(allowed))
    assert set(found.tolist()) <= set(allowed)
    np.testing.assert_allclose(products, truth[found], rtol=1e-5, atol=1e-6)
    if len(found):
        assert products.min() >= np.sort(truth[allowed])[-len(found)] - 1e-6


def test_few_rows_are_gathered_and_many_are_read_with_the_rest():
    vectors, vector = table(100), table(1, 1)[0]
    for rows in (np.arange(0, 100, 10), np.arange(90)):
        found, _ = Exact(vectors).among(rows, vector, 5)
        assert set(found.tolist()) == set(rows[np.argsort(-(vectors[rows] @ vector))[:5]].tolist())


def test_a_short_reach_reads_the_nearest_cells_alone():
    vectors = np.repeat(np.eye(4, dtype=np.float32), 25, axis=0)
    index = cells(vectors, reach=2.0, size=25)  # the best 4 of 100 rows: 2 * sqrt(4 * 100) = 40, two cells
    found, products = index.nearest(np.array([0.1, 1.0, 0.5, 0.2], dtype=np.float32), 100)
    assert len(found) == 100  # the best 100 of 100 are all of them
    found, products = index.nearest(np.array([0.1, 1.0, 0.5, 0.2], dtype=np.float32), 4)
    assert set(found.tolist()) <= set(range(25, 50))
    assert products.tolist() == [1.0] * 4


def test_a_filter_makes_the_search_go_further():
    vectors = np.repeat(np.eye(4, dtype=np.float32), 25, axis=0)
    index = cells(vectors, reach=1.0, size=25)
    far = np.arange(0, 25, 5)  # none in the cells that are nearest
    found, _ = index.among(far, np.array([0.1, 1.0, 0.5, 0.2], dtype=np.float32), 3)
    assert len(found) == 3
    assert set(found.tolist()) <= set(far.tolist())


def test_best_takes_all_if_there_are_no_more():
    rows, products = best(np.array([4, 2]), np.array([0.1, 0.2], dtype=np.float32), 5)
    assert (rows.tolist(), len(products)) == ([4, 2], 2)


def test_what_is_written_is_read(tmp_path):
    vectors, vector = table(50), table(1, 1)[0]
    made = cells(vectors)
    write(tmp_path, made._starts, made._centres)
    opened = read(tmp_path, vectors, WIDE)
    assert set(opened.nearest(vector, 9)[0].tolist()) == set(made.nearest(vector, 9)[0].tolist())


@pytest.mark.parametrize(
    ("starts", "centres", "reason"),
    [
        ([0, 5, 9], np.zeros((2, 6)), "are none of vectors"),
        ([1, 5, 10], np.zeros((2, 6)), "are none of vectors"),
        ([0, 5, 10], np.zeros((2, 4)), "are none of vectors"),
        ([0, 10], np.zeros((2, 6)), "are none of vectors"),
        ([0, 7, 5, 10], np.zeros((3, 6)), "not in the order"),
    ],
)
def test_cells_of_another_table_are_refused(tmp_path, starts, centres, reason):
    np.save(tmp_path / CELLS, np.array(starts))
    np.save(tmp_path / CENTRES, centres.astype(np.float32))
    with pytest.raises(ValueError, match=reason):
        read(tmp_path, table(10), 4.0)
