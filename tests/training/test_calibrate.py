import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from training.calibrate import calibrate
from training.evaluate import measure, score
from training.predict import known, labels_of, predict, represent, served
from training.study import prepare

SPLIT = "validation"


@pytest.fixture(scope="module")
def spoilt(bench):
    """The trained network with heads that are twice too sure and too high, and its predictions."""
    network = copy.deepcopy(bench.network)
    with torch.no_grad():
        for task in bench.dataset.tasks:
            if task.type in ("binary", "multiclass"):
                network.readout.set(task.name, 3.0, 1.0)
    return network, predict(network, bench.dataset, represent(network, bench.dataset, bench.texts), SPLIT)


@pytest.fixture(scope="module")
def calibrated(bench, spoilt):
    network = copy.deepcopy(spoilt[0])
    calibrate(network, bench.dataset, spoilt[1])
    return network, predict(network, bench.dataset, represent(network, bench.dataset, bench.texts), SPLIT)


def test_probabilities_are_nearer_to_the_truth_and_no_order_has_changed(bench, spoilt, calibrated):
    before, after = (measure(bench.dataset, predictions, SPLIT) for _, predictions in (spoilt, calibrated))
    tasks = [task for task in bench.dataset.tasks if task.type in ("binary", "multiclass")]
    assert {task.type for task in tasks} == {"binary", "multiclass"}
    for task in tasks:
        enough = known(labels_of(bench.dataset, spoilt[1], task.name, SPLIT)).sum() >= 50
        assert after[task.name]["log_loss"] <= before[task.name]["log_loss"] + 1e-9
        if enough:
            assert after[task.name]["ece"] < before[task.name]["ece"]
        same = "auc" if task.type == "binary" else "accuracy"
        assert after[task.name][same] == pytest.approx(before[task.name][same], abs=1e-6)


def test_what_is_fitted_is_what_is_served(bench, calibrated):
    network, predictions = calibrated
    for task in bench.dataset.tasks:
        logits = torch.from_numpy(predictions.logits[task.name])
        scale, shift = network.readout.affine(task.name)[:2]
        if task.type == "binary":
            expected = torch.sigmoid(logits * scale + shift)
        elif task.type == "multiclass":
            expected = torch.softmax(logits * scale, dim=-1)
        else:
            continue
        np.testing.assert_allclose(predictions.values[task.name], expected, rtol=1e-5, atol=1e-6)


def test_a_calibrated_binary_task_has_the_rate_of_the_labels(bench, calibrated):
    found = measure(bench.dataset, calibrated[1], SPLIT)["click"]
    assert found["predicted_rate"] == pytest.approx(found["rate"], abs=0.01)


def test_calibrating_again_changes_nothing(bench, calibrated):
    network, predictions = calibrated
    before = {task.name: network.readout.affine(task.name).clone() for task in bench.dataset.tasks}
    calibrate(network, bench.dataset, predictions)
    for name, affine in before.items():
        torch.testing.assert_close(network.readout.affine(name), affine)


def test_a_regression_is_not_worse_in_the_unit_in_which_it_learned(bench, spoilt, calibrated):
    for task in bench.dataset.tasks:
        if task.type == "regression":
            labels = labels_of(bench.dataset, spoilt[1], task.name, SPLIT)
            logits = spoilt[1].logits[task.name]
            errors = [
                np.nanmean((np.log1p(labels) - np.log1p(served(network, task.name, logits)[:, 0])) ** 2)
                if network.readout.log[task.name]
                else score(task, labels, served(network, task.name, logits))["rmse"]
                for network in (spoilt[0], calibrated[0])
            ]
            assert errors[1] <= errors[0] + 1e-6


def test_a_task_with_few_labels_stays_as_it_is(bench, spoilt):
    network, predictions = copy.deepcopy(spoilt[0]), spoilt[1]
    missing = {
        name: np.full_like(values, -1 if values.dtype == np.int64 else np.nan)
        for name, values in bench.dataset.labels.items()
    }
    before = {
        task.name: network.readout.affine(task.name).clone() for task in bench.dataset.tasks if task.online
    }
    calibrate(network, replace(bench.dataset, labels=missing), predictions)
    for task in bench.dataset.tasks:
        if task.online:
            expected = before[task.name].clone()
            if task.type == "binary":  # as if it had never been calibrated
                expected[:2] = torch.tensor([1.0, 0.0])
            torch.testing.assert_close(network.readout.affine(task.name), expected)


@pytest.fixture(scope="module")
def ranged(workbench):
    """An untrained network that reads dwell as quantiles, before and after its calibration."""
    bench = workbench(
        tasks={
            "click": {"type": "binary", "label": "clicked"},
            "dwell": {
                "type": "quantile",
                "label": "dwell",
                "transform": "log1p",
                "quantiles": [0.2, 0.5, 0.9],
            },
        },
        split={"validation": 0.6, "test": 0.1},
    )
    prepare(bench.network, bench.dataset)
    network = copy.deepcopy(bench.network)
    with torch.no_grad():
        network.heads.slope["dwell"].fill_(0.5)  # far enough off, and seldom beyond what training saw
        network.heads.told["dwell"].weight.zero_()  # untrained, it would make most quantiles cross
    represented = represent(network, bench.dataset, bench.texts)
    before = predict(network, bench.dataset, represented, SPLIT)
    calibrate(network, bench.dataset, before)
    return bench.dataset, network, before, predict(network, bench.dataset, represented, SPLIT)


def test_as_many_labels_are_below_a_calibrated_quantile_as_it_says(ranged):
    dataset, _, before, after = ranged
    found, spoilt = (measure(dataset, predictions, SPLIT)["dwell"] for predictions in (after, before))
    rows = known(labels_of(dataset, after, "dwell", SPLIT)).sum()
    assert rows >= 50
    assert found["coverage_error"] <= 1.5 / rows < spoilt["coverage_error"]
    assert (np.diff(after.values["dwell"], axis=1) >= 0).all()


def test_calibrating_quantiles_again_changes_nothing(ranged):
    dataset, network, _, after = ranged
    again = copy.deepcopy(network)
    calibrate(again, dataset, after)
    torch.testing.assert_close(again.readout.state_dict(), network.readout.state_dict())
