from copy import deepcopy

import pytest
import torch

from tests.training.balance.toy import Small
from training.balance.balance import Balance


def test_the_gradient_is_that_of_the_sum_weighted_as_the_configuration_says():
    small = Small()
    weights = Balance({"a": 2.0, "b": 0.5, "c": 1.0}).backward(small.losses("ab"), small.shared)
    assert weights == {"a": 2.0, "b": 0.5}
    found = small.gradients()
    losses = small.losses("ab")
    (2.0 * losses["a"] + 0.5 * losses["b"]).backward()
    for ours, expected in zip(found, small.gradients(), strict=True):
        torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("kind", ["fixed", *Small.KINDS])
def test_a_batch_without_any_label_moves_nothing(kind):
    small = Small()
    balance = small.balance(kind)
    assert balance.backward({}, small.shared) == {}
    balance.follow(dict)
    balance.turn()
    assert all(gradient is None for gradient in small.gradients())


@pytest.mark.parametrize("kind", ["fixed", *Small.KINDS])
def test_a_task_that_is_absent_has_no_part_and_the_others_go_on(kind):
    small = Small()
    balance = small.balance(kind)
    for names in ("abc", "ac", "abc", "b", "ac"):
        weights = small.step(balance, names)
        assert set(weights) == set(names)
        assert all(0.0 <= weight < 100.0 for weight in weights.values())
        moved = {name: small.heads[name].weight.grad is not None for name in "abc"}
        assert moved == {name: name in names for name in "abc"}


@pytest.mark.parametrize("kind", ["fixed", *Small.KINDS])
def test_what_was_saved_goes_on_as_if_nothing_had_happened(kind):
    one = Small()
    balance = one.balance(kind)
    for names in ("abc", "ab", "bc"):
        one.step(balance, names)
    balance.turn()
    other = Small()
    other.load_state_dict(one.state_dict())
    resumed = other.balance(kind)
    resumed.load_state_dict(deepcopy(balance.state_dict()))
    for small, each in ((one, balance), (other, resumed)):
        torch.manual_seed(1)
        small.told = [small.step(each, names) for names in ("abc", "c", "ab", "abc")]
        each.turn()
        small.told.append(small.step(each, "abc"))
    assert one.told == other.told
    for ours, theirs in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("kind", ["fixed", *Small.KINDS])
def test_the_encoder_is_gone_back_through_once(kind):
    small = Small()
    backs = []
    small.encoder.weight.register_hook(backs.append)
    small.step(small.balance(kind), "abc")
    assert len(backs) == 1
