import math

import pytest
import torch

from training.model.factors import PULL, Factors, Past, biases, spreads

ITEMS, D, K = 6, 4, 3


@pytest.fixture
def factors() -> Factors:
    """Factors that are all learned."""
    torch.manual_seed(0)
    made = Factors(ITEMS, K)
    torch.nn.init.normal_(made.table.weight)
    return made


@torch.no_grad()
def test_a_dot_product_adds_what_svd_plus_plus_adds(factors):
    """Koren, KDD'08: b_u + b_i + q_i · (y_1 + y_2 + ...) / sqrt(n + 1), each event's item by its grade too."""
    past, texts = Past(K, torch.tensor([0.0, -1.0, 2.0])), torch.randn(ITEMS, D)
    past.lean.copy_(torch.tensor([0.7, 1.5]))
    items = factors(torch.arange(ITEMS), texts)
    role, bias, seen, graded = factors.table.weight.split([K, 1, K, K], dim=1)
    history, events = [4, 1, 2], [1, 2, 2]
    told = past(items[history][None, :, D:], torch.tensor([events]), torch.ones(1, 3))
    z = (seen[4] - graded[4] + seen[1] + 2.0 * graded[1] + seen[2] + 2.0 * graded[2]) / math.sqrt(4.0)
    lean = (0.7 * (-1.0 + 2.0 + 2.0) - 1.5 * bias[history].sum()) / (3.0 + PULL)
    user = torch.randn(1, D)
    expected = (user * texts).sum(dim=1) + lean + bias[:, 0] + role @ z
    torch.testing.assert_close(items @ torch.cat([user, told], dim=1)[0], expected)


@torch.no_grad()
def test_what_stands_under_the_mask_says_nothing(factors):
    past, learned = (
        Past(K, torch.tensor([0.5, 1.0])),
        factors(torch.arange(ITEMS), torch.zeros(ITEMS, D))[:, D:],
    )
    events, mask = torch.tensor([[1, 0, 1]]), torch.tensor([[1.0, 0.0, 1.0]])
    masked = past(learned[[0, 3, 2]][None], events, mask)
    torch.testing.assert_close(masked, past(learned[[0, 2]][None], torch.ones(1, 2).long(), torch.ones(1, 2)))
    nobody = past(learned[[0, 3, 2]][None], events, torch.zeros(1, 3))[0]
    assert nobody.tolist() == [0.0] * (1 + K) + [1.0] + [0.0] * 2 * K


@torch.no_grad()
def test_texts_outside_of_the_catalogue_have_a_one_and_zeros(factors):
    texts = torch.randn(2, D)
    found = factors(torch.tensor([ITEMS, ITEMS + 3]), texts)
    assert torch.equal(found, torch.cat([texts, torch.ones(2, 1), torch.zeros(2, 3 * K + 1)], dim=1))
    assert torch.equal(factors.unknown(texts), found)


@torch.no_grad()
def test_training_begins_at_the_biases():
    made, past = Factors(ITEMS, K), Past(K, torch.tensor([0.0, 1.0]))
    given = torch.linspace(-1.0, 1.0, ITEMS)
    made.begin(given)
    items = made(torch.arange(ITEMS), torch.zeros(ITEMS, D))
    user = past(items[None, :3, D:], torch.ones(1, 3).long(), torch.ones(1, 3))
    assert user[0, 1 : 1 + K].abs().max() > 0
    torch.testing.assert_close(items[:, D:] @ user[0], given + (3.0 - given[:3].sum()) / (3.0 + PULL))


def test_biases_are_those_of_users_and_items_together():
    """The one good item is seen by those who like nothing: by its mean alone it would be none."""
    users, items = (torch.arange(200) % 20, torch.arange(200) // 20)
    labels = torch.where(users < 10, -1.0, 1.0) + torch.where(items == 0, 2.0, 0.0)
    seen = (items > 0) | (users < 10)
    found = biases(users[seen], items[seen], labels[seen], 11)
    assert found[0] > 0.8
    assert found[1:10].std() < 1e-5
    assert found[10] == 0


def test_size_pulls_at_each_item_as_often_as_it_stands_there(factors):
    factors.size(torch.tensor([2, 5, 5, 5])).backward()
    expected = factors.table.weight.detach() * torch.tensor([0, 0, 1, 0, 0, 3])[:, None] * 2.0 / 4.0
    torch.testing.assert_close(factors.table.weight.grad, expected)


def test_grades_are_told_in_spreads_from_their_mean():
    found = spreads({"one": 1.0, "seen": None, "three": 3.0, "five": 5.0})
    step = math.sqrt(1.5)
    torch.testing.assert_close(found, torch.tensor([0.0, -step, 0.0, 0.0, step]))
    assert spreads({"click": None, "buy": 2.0}).tolist() == [0.0, 0.0, 0.0]


def test_grades_that_are_met_often_count_as_often():
    events = {"one": 1.0, "seen": None, "five": 5.0}
    found = spreads(events, torch.tensor([9.0, 1.0, 7.0, 3.0]))
    assert found[[0, 2]].tolist() == [0.0, 0.0]
    torch.testing.assert_close(found[[1, 3]], torch.tensor([-math.sqrt(3.0), 1.0 / math.sqrt(3.0)]))
    assert spreads(events, torch.tensor([9.0, 0.0, 7.0, 3.0])).tolist() == [0.0] * 4
