import numpy as np

from benchmarks.fitted import spread, without
from tests.training import toy


def test_a_spread_is_told_of_several_values_only():
    assert spread([0.25]) == "0.2500"
    assert spread([]) == ""
    assert spread([0.0, 1.0]) == "0.5000 ± 0.7071"


def test_a_data_set_without_a_feature_has_the_columns_of_the_others():
    dataset = toy.made()
    bare = without(dataset, ["hour", "since_last"])
    assert bare.features.use == tuple(
        name for name in dataset.features.use if name not in ("hour", "since_last")
    )
    assert bare.context.shape[1] == dataset.context.shape[1] - 4 - 2
    np.testing.assert_array_equal(bare.context[:, :2], dataset.context[:, 4:6])  # the weekday
