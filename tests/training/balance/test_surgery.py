import pytest
import torch
from torchjd.aggregation import MGDAWeighting

from tests.training.balance.toy import Small
from training.balance.gradients import rows
from training.balance.surgery import WEIGHTINGS


@pytest.mark.parametrize("kind", WEIGHTINGS)
def test_heads_learn_from_the_plain_sum_and_the_encoder_from_the_weighted_rows(kind):
    small = Small()
    weights = small.balance(kind).backward(small.losses("abc"), small.shared)
    found = [gradient.clone() for gradient in small.gradients()]
    losses = small.losses("abc")
    sum(losses.values()).backward(inputs=list(small.heads.parameters()), retain_graph=True)
    sum(weights[name] * loss for name, loss in losses.items()).backward(
        inputs=list(small.encoder.parameters())
    )
    for ours, expected in zip(found, small.gradients(), strict=True):
        torch.testing.assert_close(ours, expected)


def test_the_weights_are_those_of_the_rows_times_the_configurations_own():
    small = Small()
    own = {"a": 2.0, "b": 1.0, "c": 1.0}
    weights = small.balance("mgda", own).backward(small.losses("ab"), small.shared)
    found = torch.stack(list(rows(small.losses("ab"), small.shared).values())) * torch.tensor([[2.0], [1.0]])
    expected = 2 * MGDAWeighting()(found @ found.T)
    assert list(weights.values()) == pytest.approx((expected * torch.tensor([2.0, 1.0])).tolist(), rel=1e-4)


def test_where_nothing_is_shared_each_head_learns_alone():
    small = Small()
    losses = {"a": (small.heads["a"].weight ** 2).sum()}
    assert small.balance("upgrad").backward(losses, []) == {"a": 1.0}
    assert torch.equal(small.heads["a"].weight.grad, 2 * small.heads["a"].weight)


def test_a_run_that_diverges_is_left_to_the_loop():
    small = Small()
    losses = {name: loss * torch.inf for name, loss in small.losses("ab").items()}
    assert small.balance("nash_mtl").backward(losses, small.shared) == {"a": 1.0, "b": 1.0}
