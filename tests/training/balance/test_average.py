import pytest
import torch
from torchjd.scalarization import DWA

from training.balance.average import Average

EPOCHS = [
    [(1.0, 2.0), (0.8, 1.8)],
    [(0.7, 1.7), (0.5, 1.7)],
    [(0.4, 1.6), (0.4, 1.5)],
    [(0.2, 1.5), (0.2, 1.5)],
]


def test_with_every_task_in_every_batch_the_weights_are_torchjds():
    ours, theirs = Average({"a": 1.0, "b": 1.0}), DWA()
    for epoch in EPOCHS:
        for step in epoch:
            values = torch.tensor(step, requires_grad=True)
            weights = ours.weigh({"a": torch.tensor(step[0]), "b": torch.tensor(step[1])}, [])
            torch.testing.assert_close(weights, torch.autograd.grad(theirs(values), values)[0])
        ours.turn()
        theirs.step()
    assert weights[1] > weights[0], "b falls slower"


def test_a_task_keeps_its_means_through_an_epoch_in_which_it_is_absent():
    balance = Average({"a": 1.0, "b": 1.0})
    for a, b in ((1.0, 1.0), (0.5, 0.8)):
        balance.weigh({"a": torch.tensor(a), "b": torch.tensor(b)}, [])
        balance.turn()
    balance.weigh({"a": torch.tensor(0.4)}, [])
    balance.turn()
    assert balance.means.tolist() == [pytest.approx([0.4, 0.8]), pytest.approx([0.5, 1.0])]


def test_a_mean_is_over_the_batches_that_had_the_task():
    balance = Average({"a": 1.0, "b": 1.0})
    balance.weigh({"a": torch.tensor(1.0), "b": torch.tensor(4.0)}, [])
    balance.weigh({"a": torch.tensor(3.0)}, [])
    balance.turn()
    assert balance.means[0].tolist() == [2.0, 4.0]
