import pytest
from torch import nn

from training.cost import cost
from training.run import Run


def test_a_cost_is_the_sum_over_epochs_and_frozen_parameters_do_not_learn(tmp_path):
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    network[0].requires_grad_(False)
    run = Run(tmp_path)
    for epoch in (1, 2):
        run.log({"epoch": epoch, "seconds": 1.5, "cpu": 2.0})
    assert cost(run, network) == {"epochs": 2, "seconds": 3.0, "cpu": 4.0, "learned": 4, "parameters": 13}


def test_runs_that_logged_no_processor_time_have_none(tmp_path):
    run = Run(tmp_path)
    run.log({"epoch": 1, "seconds": 1.5})
    assert cost(run, nn.Linear(1, 1))["cpu"] == pytest.approx(float("nan"), nan_ok=True)
