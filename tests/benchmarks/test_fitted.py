import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import training.datasets
from benchmarks.fitted import changed, complete, keep, labelled, spread, thinned, without
from tests.training import toy
from training.pipeline import only


def test_a_changed_configuration_lacks_what_is_said_to_be_none_and_keeps_the_rest():
    path = Path(training.datasets.__file__).with_name("movielens.toml")
    config = changed(path, tasks={"time": None}, model={"dimension": 64})
    assert list(config.tasks) == ["rating", "like", "genre"]
    assert (config.model.dimension, config.model.item_ids) == (64, True)


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


def test_a_thinned_part_has_some_of_its_requests_and_the_others_have_all():
    dataset = toy.made()
    thin = thinned(dataset, {"train": 0.5})
    assert 0 < len(thin.requests.of("train")) < len(dataset.requests.of("train"))
    assert set(thin.requests.of("train")) < set(dataset.requests.of("train"))
    np.testing.assert_array_equal(thin.requests.of("test"), dataset.requests.of("test"))
    np.testing.assert_array_equal(thin.requests.splits, thinned(dataset, {"train": 0.5}).requests.splits)
    np.testing.assert_array_equal(thin.histories.items, dataset.histories.items)


def square(folder: Path, number: int) -> None:
    keep(folder, str(number), {"square": number**2})


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_kept_is_not_computed_again(tmp_path, workers):
    (tmp_path / "2.json").write_text(json.dumps({"square": 5}))
    *_, found = complete(tmp_path, {"2": 2, "3": 3}, partial(square, tmp_path), workers)
    assert found == {"2": {"square": 5}, "3": {"square": 9}}


def test_candidates_without_a_label_are_left_out_and_every_request_stays():
    dataset = only(toy.made(), "dwell")
    lean = labelled(dataset)
    labels, kept = dataset.labels["dwell"], lean.labels["dwell"]
    assert np.nansum(kept) == np.nansum(labels)
    assert len(lean.requests) == len(dataset.requests)
    assert (np.diff(lean.requests.starts) > 0).all()
    bare = [np.isnan(part).all() for part in np.split(labels, dataset.requests.starts[1:-1])]
    assert np.isnan(kept).sum() == sum(bare)
    np.testing.assert_array_equal(
        lean.requests.owners[~np.isnan(kept)], dataset.requests.owners[~np.isnan(labels)]
    )
