import numpy as np
import pytest

from tests.training import toy
from training.evaluate import headline, measure
from training.predict import predict, represent
from training.slices import masks, slices


@pytest.fixture(scope="module")
def said(workbench):
    bench = workbench()
    represented = represent(bench.network, bench.dataset, bench.texts)
    return bench.dataset, predict(bench.network, bench.dataset, represented, "test")


def test_every_row_is_of_a_cold_or_a_warm_user_and_of_one_kind_of_item(said):
    found = masks(said[0], said[1].rows)
    assert (found["warm users"] ^ found["cold users"]).all()
    kinds = np.stack([found[f"{kind} items"] for kind in ("head", "tail", "cold")])
    assert (kinds.sum(axis=0) == 1).all()


def test_a_user_is_cold_of_whom_nothing_is_known_before_the_request(said):
    dataset, predictions = said
    owners = dataset.requests.owners[predictions.rows]
    unknown = np.array(
        [dataset.requests.history[owner][0] == dataset.requests.history[owner][1] for owner in owners]
    )
    assert unknown.any()
    np.testing.assert_array_equal(masks(dataset, predictions.rows)["cold users"], unknown)


def test_the_head_is_what_training_showed_most_and_cold_what_it_never_showed():
    rows = [{"user": "u", "item": "i0", "time": toy.START + number, "click": 1.0} for number in range(6)]
    rows += [
        {"user": "u", "item": f"i{number}", "time": toy.START + 6 + number, "click": 0.0}
        for number in range(1, 5)
    ]
    rows += [{"user": "u", "item": name, "time": toy.START + 20 + number, "click": 1.0}
             for number, name in enumerate(("i0", "i1", "i9", "i0"))]  # fmt: skip
    tasks = {"click": {"type": "binary", "label": "clicked"}}
    dataset = toy.build(rows, toy.settings(tasks=tasks, split={"validation": 0.1, "test": 0.2}))
    rows = dataset.select("test")
    names = [dataset.item_ids[item] for item in dataset.rows[rows]]
    found = masks(dataset, rows)
    told = {
        name: [kind for kind in ("head", "tail", "cold") if found[f"{kind} items"][row]]
        for row, name in enumerate(names)
    }
    assert told == {"i0": ["head"], "i1": ["tail"], "i9": ["cold"]}


def test_a_slice_has_the_tasks_own_metric_on_its_rows(said):
    dataset, predictions = said
    whole, found = measure(dataset, predictions, "test"), slices(dataset, predictions, "test")
    assert set(found) == {task.name for task in dataset.tasks if task.online}
    for task in (task for task in dataset.tasks if task.online):
        assert {each["metric"] for each in found[task.name].values()} == {headline(task, whole[task.name])}
    dwell, rows = found["dwell"], masks(dataset, predictions.rows)["warm users"]
    labels, values = dataset.labels["dwell"][predictions.rows], predictions.values["dwell"][:, 0]
    rows = rows & ~np.isnan(labels)
    error = np.sqrt(np.mean((np.log1p(labels[rows]) - np.log1p(values[rows])) ** 2))
    assert dwell["warm users"]["value"] == pytest.approx(error, rel=1e-5)
    assert dwell["warm users"]["rows"] == rows.sum()
