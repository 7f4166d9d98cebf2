import pytest
import torch

from tests.training.balance.toy import Small


def test_the_geometric_mean_weighs_a_loss_by_its_inverse_and_leaves_absent_tasks_out_of_the_product():
    small = Small()
    for names in ("abc", "ac"):
        losses = small.losses(names)
        found = torch.stack([loss.detach() for loss in losses.values()])
        weights = small.balance("gls").weigh(losses, [])
        torch.testing.assert_close(weights, found.prod() ** (1 / len(names)) / found)


def test_a_loss_of_zero_does_not_make_the_geometric_mean_collapse():
    weights = Small().balance("gls").weigh({"a": torch.tensor(0.0), "b": torch.tensor(1.0)}, [])
    assert weights.isfinite().all()


def test_random_weights_are_drawn_anew_and_have_the_mean_1():
    small = Small()
    torch.manual_seed(0)
    drawn = torch.stack([small.balance("rlw").weigh(small.losses("abc"), []) for _ in range(200)])
    assert drawn.mean(dim=1).tolist() == pytest.approx([1.0] * 200)
    assert drawn.mean(dim=0).tolist() == pytest.approx([1.0] * 3, abs=0.15)
    assert drawn.std(dim=0).min() > 0.3
