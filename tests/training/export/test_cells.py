import numpy as np

from model_store import items as catalogue
from model_store.index import CELLS, Exact, read
from model_store.items import Items
from model_store.parts import Parts
from training.export.cells import RECALL, group, measured, recall, write


def clustered(count, seed=0):
    """Vectors around a few directions, and searches between them."""
    random = np.random.default_rng(seed)
    around = random.normal(size=(20, 8))
    vectors = around[random.integers(20, size=count)] + 0.3 * random.normal(size=(count, 8))
    searches = around[random.integers(20, size=(30, 2))].mean(axis=1)
    return [
        (each / np.linalg.norm(each, axis=1, keepdims=True)).astype(np.float32)
        for each in (vectors, searches)
    ]


def test_every_row_lies_in_the_cell_whose_centre_is_nearest():
    vectors, _ = clustered(400)
    grouped = group(vectors)
    assert sorted(grouped.order.tolist()) == list(range(400))
    assert (grouped.starts[0], grouped.starts[-1]) == (0, 400)
    assert len(grouped.centres) == 80
    cells = np.repeat(np.arange(80), np.diff(grouped.starts))
    nearest = np.argmax(vectors[grouped.order] @ grouped.centres.T, axis=1)
    assert np.array_equal(cells, nearest)


def test_the_same_vectors_are_grouped_alike():
    vectors, _ = clustered(300)
    assert np.array_equal(group(vectors).order, group(vectors).order)


def test_the_reach_is_one_that_finds_enough_of_the_best(tmp_path):
    vectors, searches = clustered(2_000)
    items = Items(tuple(map(str, range(2_000))), Parts(*(vectors,) * 4), np.zeros(2_000))
    told = write(items, tmp_path, texts=[f"text {n}" for n in range(2_000)], searches=searches, above=1_999)
    lying = catalogue.read(tmp_path)
    index = read(tmp_path, lying.vectors, told.reach)
    truth = [Exact(lying.vectors).nearest(search, 100)[0] for search in searches]
    assert recall([index.nearest(search, 100)[0] for search in searches], truth) >= RECALL
    assert told.recall >= RECALL
    row = lying.rows["7"]
    assert np.array_equal(lying.vectors[row], vectors[7])
    assert '{"item_id": "7", "text": "text 7"}' in (tmp_path / "items.jsonl").read_text().splitlines()[row]


def test_vectors_that_lie_nowhere_in_particular_are_searched_further():
    vectors, searches = clustered(2_000)
    scattered = np.random.default_rng(1).normal(size=(2_030, 8)).astype(np.float32)
    scattered = np.hstack([scattered, scattered[::-1] ** 3])  # sixteen directions, none of them a group
    reaches = []
    for table, wanted in ((vectors, searches), (scattered[30:], scattered[:30])):
        grouped = group(table)
        reaches.append(measured(table[grouped.order], grouped, wanted).reach)
    assert reaches[1] > reaches[0]


def test_a_small_catalogue_has_no_index(tmp_path):
    vectors, searches = clustered(10)
    items = Items(tuple(map(str, range(10))), Parts(*(vectors,) * 4), np.zeros(10))
    assert write(items, tmp_path, texts=["text"] * 10, searches=searches) is None
    assert not (tmp_path / CELLS).exists()
    assert catalogue.read(tmp_path).ids == items.ids


def test_a_single_item_is_a_cell():
    grouped = group(np.eye(1, 4, dtype=np.float32))
    assert (grouped.starts.tolist(), grouped.order.tolist()) == ([0, 1], [0])
