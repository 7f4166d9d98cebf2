import numpy as np

from model_store.parts import Parts


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
