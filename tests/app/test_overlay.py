import numpy as np
import pytest

from app.candidates import Described
from app.overlay import Overlay
from app.slate import Columns, Slate
from model_store.items import Attribute, Items
from tests.app.plain import parted

WIDTH = 3


@pytest.fixture
def items():
    return Items(
        ids=("a", "b"),
        parts=parted(np.eye(2, WIDTH, dtype=np.float32)),
        published=np.zeros(2),
        attributes={"brand": Attribute.of([["x"], ["y"]])},
        outputs=np.zeros((2, 1), np.float32),
        numbers={"price": np.zeros(2)},
    )


@pytest.fixture
def overlay(items):
    return Overlay(items, parted)


def item(name, *brands, **fields):
    return Described(name, "text", {"brand": brands}, **fields)


def encoded(*values):
    return np.array([*values, *[0.0] * (WIDTH + 1 - len(values))], dtype=np.float32)


def slate(overlay, items, *rows):
    """What is read of some rows, together with those of the bundle."""
    columns = Columns(
        ids=items.ids,
        parts=tuple(items.parts),
        published=items.published,
        codes={name: attribute.codes for name, attribute in items.attributes.items()},
        numbers=items.numbers,
        outputs=items.outputs,
        shingles=np.zeros((len(items), 0), np.uint16),
    )
    return Slate(np.array(rows), overlay.above(columns), np.array(rows))


def vectors(slate):
    return slate.columns.parts[0].take(slate.places, axis=0)


def found(overlay, filters=(), limit=10):
    rows, _ = overlay.nearest(np.array([1, 2, 3], dtype=np.float32), limit, dict(filters))
    return sorted(rows.tolist())


def test_rows_begin_behind_those_of_the_bundle(overlay):
    assert overlay.put(item("c"), encoded(1.0)) == 2
    assert overlay.put(item("d"), encoded(1.0)) == 3
    assert found(overlay) == [2, 3]


def test_what_was_put_is_read_back(overlay, items):
    overlay.put(item("other", "x"), encoded(9.0))
    row = overlay.put(item("c", "y", "x", published=5.0, numbers={"price": 2.5}), encoded(1.0, 2.0, 3.0, 4.0))
    read = slate(overlay, items, row, 1)
    assert read.ids == ["c", "b"]
    assert [part.take(read.places, axis=0).tolist() for part in read.columns.parts] == [
        [[factor * value for value in row] for row in ([1.0, 2.0, 3.0], [0.0, 1.0, 0.0])]
        for factor in (1.0, 2.0, 3.0, 4.0)
    ]
    assert read.output(0).tolist() == [4.0, 0.0]
    assert (read.published.tolist(), read.numbers("price").tolist()) == ([5.0, 0.0], [2.5, 0.0])
    assert read.codes("brand").tolist() == [[1, 0], [1, -1]]


def test_what_an_item_lacks_is_missing(overlay, items):
    read = slate(overlay, items, overlay.put(item("c"), encoded(1.0)))
    assert np.isnan(read.published[0])
    assert np.isnan(read.numbers("price")[0])
    assert read.codes("brand").tolist() == [[-1]]


def test_the_best_live_rows_are_found_with_their_products(overlay):
    rows = [overlay.put(item(name), encoded(*place)) for name, place in
            [("c", (1.0,)), ("d", (0.0, 1.0)), ("e", (0.0, 0.0, 1.0))]]  # fmt: skip
    best, products = overlay.nearest(np.array([1, 2, 3], dtype=np.float32), 2, {})
    assert dict(zip(best.tolist(), products.tolist(), strict=True)) == {rows[1]: 2.0, rows[2]: 3.0}
    overlay.leave(rows[2])
    assert found(overlay) == rows[:2]
    assert overlay.live(np.array(rows)).tolist() == [True, True, False]


def test_filters_know_values_that_the_bundle_does_not(overlay):
    rows = [overlay.put(item(name, *brands), encoded(1.0)) for name, brands in
            [("c", ("x",)), ("d", ("new",)), ("e", ("newer", "x"))]]  # fmt: skip
    assert found(overlay, {"brand": ("new",)}) == [rows[1]]
    assert found(overlay, {"brand": ("x",)}) == [rows[0], rows[2]]
    assert found(overlay, {"brand": ("newer", "new")}) == rows[1:]
    assert found(overlay, {"brand": ("nobody's",)}) == []
    assert overlay.values("brand") == ["x", "y", "new", "newer"]
    assert overlay.sizes("brand") == 4


def test_the_row_of_the_same_id_in_the_bundle_is_known(overlay):
    rows = np.array([overlay.put(item("b"), encoded(1.0)), overlay.put(item("new"), encoded(1.0))])
    assert overlay.bundled(rows).tolist() == [1, -1]


def test_a_signature_is_of_the_vector_alone_and_no_row(items):
    one, other = Overlay(items, parted), Overlay(items, parted)
    other.put(item("first"), encoded(7.0))
    same = [each.put(item("c"), encoded(1.0, 2.0)) for each in (one, other)]
    assert same[0] != same[1]
    numbers = [each.signatures(np.array([row]))[0] for each, row in zip((one, other), same, strict=True)]
    assert numbers[0] == numbers[1] < 0
    assert other.signatures(np.array([2]))[0] != numbers[0]


def test_arrays_that_grow_keep_their_rows(overlay, items):
    before = slate(overlay, items, 2, 1)
    rows = [overlay.put(item(str(n), str(n)), encoded(float(n))) for n in range(300)]
    read = slate(overlay, items, *rows)
    assert vectors(read)[:, 0].tolist() == list(range(300))
    assert read.ids == [str(n) for n in range(300)]
    assert vectors(before).tolist() == [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    assert found(overlay, {"brand": ("299",)}) == [rows[299]]


def test_a_row_that_was_left_rests_before_it_is_filled_again(overlay, items):
    first = overlay.put(item("c", "x"), encoded(1.0))
    overlay.leave(first)
    assert overlay.put(item("d"), encoded(2.0)) != first
    assert vectors(slate(overlay, items, first))[0, 0] == 1.0


def test_a_row_that_has_rested_is_filled_anew(items):
    restless = Overlay(items, parted, rest=-1.0)
    first = restless.put(item("c", "x"), encoded(1.0))
    restless.leave(first)
    assert restless.put(item("d"), encoded(3.0)) == first
    read = slate(restless, items, first)
    assert (read.ids, read.codes("brand").tolist()) == (["d"], [[-1]])
    assert found(restless) == [first]
