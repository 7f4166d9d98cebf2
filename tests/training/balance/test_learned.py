import pytest
import torch
from torchjd.scalarization import FAMO, UW

from tests.training.balance.toy import Small


def test_famos_weights_are_torchjds_where_every_task_is_in_every_batch():
    small, theirs = Small(), FAMO(3)
    balance = small.balance("famo")
    for _ in range(20):
        losses = small.losses("abc")
        values = torch.stack([loss.detach() for loss in losses.values()]).requires_grad_()
        expected = torch.autograd.grad(theirs(values), values)[0] * 3
        found = small.step(balance, "abc")
        assert list(found.values()) == pytest.approx(expected.tolist(), rel=1e-4)
        theirs.update(torch.stack([loss.detach() for loss in small.losses("abc").values()]))


def test_famo_does_not_touch_a_task_that_is_absent():
    small = Small()
    balance = small.balance("famo")
    small.step(balance, "abc")
    before = balance.read("b")
    small.step(balance, "ac")
    assert torch.equal(balance.read("b"), before)


def test_uncertainty_moves_as_torchjds_does_and_ends_at_the_inverse_of_the_loss():
    balance, theirs = Small().balance("uncertainty"), UW(2)
    losses = {"a": torch.tensor(0.5), "b": torch.tensor(2.0)}
    theirs(torch.stack(list(losses.values()))).backward()
    weights = balance.weigh(losses, [])
    assert weights.tolist() == [1.0, 1.0]
    assert torch.equal(balance.read("ab").sign(), -theirs.log_var.grad.sign())
    for _ in range(400):
        weights = balance.weigh(losses, [])
    assert weights.tolist() == pytest.approx([2.0, 0.5], rel=0.02)
    assert balance.read("c") == 0.0


def test_gradnorm_gives_equal_gradients_to_tasks_that_learn_alike():
    small = Small()
    balance = small.balance("gradnorm")
    losses = small.losses("abc")
    norms = {}
    for name, loss in losses.items():
        (gradient,) = torch.autograd.grad(loss, small.shared, retain_graph=True)
        norms[name] = gradient.norm().item()
    for _ in range(300):
        weights = dict(zip(losses, balance.weigh(losses, small.shared).tolist(), strict=True))
    lengths = [weights[name] * norms[name] for name in norms]
    assert max(lengths) / min(lengths) < 1.2 < max(norms.values()) / min(norms.values())
    assert sum(weights.values()) == pytest.approx(3.0, rel=1e-4)


def test_gradnorm_pulls_the_task_along_whose_loss_has_fallen_least():
    small = Small()
    balance = small.balance("gradnorm")
    balance.weigh(small.losses("abc"), small.shared)
    balance.first[:] = torch.stack([loss.detach() for loss in small.losses("abc").values()])
    balance.first[0] *= 10.0  # a has lost nine tenths
    for _ in range(200):
        weights = balance.weigh(small.losses("abc"), small.shared)
    assert weights[0] < min(weights[1], weights[2])


def test_gradnorm_leaves_a_task_alone_whose_gradient_is_not_shared():
    small = Small()
    balance = small.balance("gradnorm")
    alone = {"c": (small.heads["c"].weight ** 2).sum()}
    losses = {**small.losses("ab"), **alone}
    for _ in range(5):
        balance.weigh(losses, small.shared)
    assert balance.read("c") == 0.0
    assert balance.read("a") != 0.0
