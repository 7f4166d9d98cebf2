import numpy as np

from app.layers import Layered
from model_store.parts import Parts, flat


def parts(count, begin=0):
    widths = (2, 4, 3, 1)
    return Parts(
        *(begin + np.arange(count * width, dtype=np.float32).reshape(count, width) for width in widths)
    )


def test_some_are_told_in_the_order_asked_for():
    found = parts(5).at(np.array([3, 0, 3]))
    assert len(found) == 3
    assert found.vectors.tolist() == [[6, 7], [0, 1], [6, 7]]
    assert found.silent.tolist() == [[3], [0], [3]]


def test_rows_in_layers_are_found_in_the_one_table_that_holds_them():
    lower, upper = parts(5), parts(3, begin=100)
    layered = [Layered(base, lambda more=more: more, 5) for base, more in zip(lower, upper, strict=True)]
    for places, tables in (([4, 0], lower), ([7, 5], upper)):
        found, at = flat(layered, np.array(places))
        assert all(one is other for one, other in zip(found, tables, strict=True))
        assert at.tolist() == [place % 5 for place in places]
    assert flat(layered, np.array([4, 5])) is None
    assert flat(lower, np.array([4]))[1].tolist() == [4]
