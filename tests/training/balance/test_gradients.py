import torch

from tests.training.balance.toy import Small
from training.balance.gradients import rows


def test_a_row_is_the_gradient_of_one_task_at_all_that_is_shared():
    small = Small()
    losses = small.losses("ab")
    found = rows(losses, small.shared)
    for name, loss in losses.items():
        (expected,) = torch.autograd.grad(loss, small.shared, retain_graph=True)
        assert torch.equal(found[name], expected.flatten())
    assert all(gradient is None for gradient in small.gradients())


def test_a_task_that_does_not_read_what_is_shared_adds_no_row():
    small = Small()
    losses = {**small.losses("a"), "b": (small.heads["b"].weight ** 2).sum()}
    assert set(rows(losses, small.shared)) == {"a"}
    assert rows(losses, []) == {}


def test_what_a_task_does_not_read_is_zero_in_its_row():
    small = Small()
    losses = small.losses("a")
    other = torch.zeros(2, requires_grad=True)
    found = rows({**losses, "b": other.sum()}, [*small.shared, other])
    assert torch.equal(found["a"][-2:], torch.zeros(2))
    assert torch.equal(found["b"], torch.cat([torch.zeros(30), torch.ones(2)]))
