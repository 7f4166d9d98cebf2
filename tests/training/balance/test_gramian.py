import numpy as np
import pytest
import torch

from training.balance import gramian
from training.balance.surgery import WEIGHTINGS

J = torch.tensor([[-4.0, 1.0, 1.0], [6.0, 1.0, 1.0], [0.0, 2.0, -1.0]]).double()
G = J @ J.T


@pytest.mark.parametrize(("kind", "expected"), [
    (gramian.upgrad, [0.7406, 0.5263, 0.3333]), (gramian.cagrad, [0.4773, 0.3333, 0.3333]),
    (gramian.mgda, [0.4719, 0.3150, 0.2131]),
])  # fmt: skip
def test_weights_are_those_of_torchjds_solvers_up_to_a_factor(kind, expected):
    found = kind(G)
    assert (found / found.sum()).tolist() == pytest.approx(
        (np.array(expected) / sum(expected)).tolist(), abs=1e-3
    )


def test_nash_is_the_bargain_in_which_weights_are_the_inverse_of_what_they_gain():
    weights = gramian.nash(G)
    gained = weights * (G @ weights)
    assert (gained / gained.mean()).tolist() == pytest.approx([1.0] * 3, abs=1e-2)
    assert weights.mean().item() == pytest.approx(1.0)


@pytest.mark.parametrize("kind", ["pcgrad", "upgrad"])
def test_gradients_without_conflict_are_added_up(kind):
    assert WEIGHTINGS[kind](torch.diag(torch.tensor([1.0, 4.0, 9.0]).double())).tolist() == pytest.approx(
        [1.0] * 3
    )


@pytest.mark.parametrize("kind", ["cagrad", "upgrad", "nash_mtl", "mgda"])
def test_the_direction_harms_no_task(kind):
    torch.manual_seed(0)
    for _ in range(20):
        jacobian = torch.randn(4, 50).double() + 0.2
        jacobian[1] = 0.3 * jacobian[1] - jacobian[0]
        gained = jacobian @ (WEIGHTINGS[kind](jacobian @ jacobian.T) @ jacobian)
        slack = 1e-2 if kind != "cagrad" else 0.5  # which stays near the mean
        assert gained.min() > -slack * gained.abs().max()


def test_pcgrad_of_two_is_the_papers_projection():
    pair = J[:2]
    found = gramian.pcgrad(pair @ pair.T) @ pair
    a, b = pair
    expected = (a - (a @ b) / (b @ b) * b) + (b - (a @ b) / (a @ a) * a)
    assert found.tolist() == pytest.approx(expected.tolist())


@pytest.mark.parametrize("kind", WEIGHTINGS)
def test_equal_opposite_and_vanished_gradients_are_no_fault(kind):
    row = torch.randn(6).double()
    for rows in ([row, row, -row], [row, 0 * row], [1e-12 * row, row]):
        jacobian = torch.stack(rows)
        weights = WEIGHTINGS[kind](jacobian @ jacobian.T)
        assert weights.isfinite().all()
        assert (weights >= -1e-9).all()
