from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from model_store.gather import ROWS, Gather, cuts

TABLES = [np.arange(30, dtype=np.float32).reshape(10, 3), np.arange(10, dtype=np.float32)[:, None]]


def test_rows_of_every_table_stand_side_by_side():
    rows = np.array([7, 0, 7])
    for found, table in zip(Gather().rows(TABLES, rows), TABLES, strict=True):
        np.testing.assert_array_equal(found, table[rows])


def test_threads_have_room_of_their_own():
    gather, rows = Gather(), [np.full(200, row) for row in range(10)]

    def right(places: np.ndarray) -> bool:
        return all((gather.rows(TABLES, places)[0] == TABLES[0][places]).all() for _ in range(50))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(right, rows))


@pytest.mark.parametrize("size", [0, 1, ROWS, ROWS + 1, 3 * ROWS - 1])
def test_stretches_are_few_and_equal_and_cover_all(size):
    found = list(cuts(size))
    lengths = [cut.stop - cut.start for cut in found]
    assert [row for cut in found for row in range(cut.start, cut.stop)] == list(range(size))
    assert len(found) == -(-size // ROWS)
    assert not size or max(lengths) - min(lengths) < len(found) + 1 <= ROWS
