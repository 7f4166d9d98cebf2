from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training import toy
from training.batches import Batches
from training.dataset import Dataset
from training.model.audience import Events
from training.model.encoder import load
from training.model.network import FAINT, Network, Residual, pad
from training.sections import RetrievalConfig


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return toy.made()


def made(dataset: Dataset, bert: Path, **model) -> Network:
    torch.manual_seed(0)
    config = dataset.config.model_copy(update={"model": dataset.config.model.model_copy(update=model)})
    transformer, columns, items = load(str(bert))[0], dataset.context.shape[1], len(dataset.item_ids)
    users = len(dataset.user_ids)
    network = Network(config, dataset.tasks, transformer, columns, items=items, users=users).eval()
    with torch.no_grad():
        for tower in network.heads.mix.towers.values():
            torch.nn.init.normal_(tower[-1].weight)
    return network


@torch.no_grad()
def test_a_request_is_answered_alike_in_every_batch(dataset, bert):
    network, batches = made(dataset, bert), Batches(dataset)
    pooled = torch.randn(len(dataset.texts), network.text.width)
    whole = batches.batch(np.arange(len(dataset.requests)), {})
    logits = network(whole, pooled[whole.texts])
    for number in (0, 9, 25, 59):
        batch = batches.batch(np.array([number]), {})
        for name, alone in network(batch, pooled[batch.texts]).items():
            together = logits[name][number][whole.mask[number] > 0]
            torch.testing.assert_close(together, alone[0], rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_tasks_that_read_one_text_are_answered_for_their_texts_only_where_there_are_some(dataset, bert):
    network, batches = made(dataset, bert), Batches(dataset)
    batch = batches.batch(np.arange(3), {"mood": np.array([0, 5])})
    pooled = torch.randn(len(batch.texts), network.text.width)
    logits = network(batch, pooled)
    assert "kind" not in logits
    torch.testing.assert_close(logits["mood"], network.text_heads("mood", pooled[batch.alone["mood"][0]]))


@torch.no_grad()
def test_a_request_without_a_query_has_a_query_of_zeros_whatever_text_stands_there(dataset, bert):
    network = made(dataset, bert)
    number = int(np.flatnonzero(dataset.requests.queries < 0)[0])
    batch = Batches(dataset).batch(np.array([number]), {})
    pooled = torch.randn(len(batch.texts), network.text.width)
    other = torch.zeros_like(batch.query_mask), (batch.queries + 1) % len(batch.texts)
    moved = type(batch)(**{**vars(batch), "query_mask": other[0], "queries": other[1]})
    torch.testing.assert_close(
        network(batch, pooled)["click"], network(moved, pooled)["click"], rtol=0, atol=0
    )


@pytest.mark.parametrize(
    ("freeze", "adapters"),
    [("all", "none"), ("last:1", "none"), ("none", "none"), ("last:1", "lora"), ("none", "ia3")],
)
def test_the_optimiser_gets_every_parameter_that_learns_once_at_its_rate(dataset, bert, freeze, adapters):
    network = made(dataset, bert, freeze=freeze, adapters=adapters)
    groups = network.parameter_groups(1e-3, 2e-5, 0.01)
    given = [
        (id(parameter), group["lr"], group["weight_decay"])
        for group in groups
        for parameter in group["params"]
    ]
    expected = [
        (
            id(parameter),
            2e-5 if name.startswith("text.transformer.") else 1e-3,
            0.01 if parameter.ndim > 1 and "ia3_l" not in name else 0.0,
        )
        for name, parameter in network.named_parameters()
        if parameter.requires_grad
    ]
    assert sorted(given) == sorted(expected)
    assert any(rate == 2e-5 for _, rate, _ in given) == (freeze != "all")


def test_padding_has_a_mask_of_zeros():
    ids, mask = pad([torch.tensor([5, 6, 7]), torch.tensor([8])])
    assert ids.tolist() == [[5, 6, 7], [8, 0, 0]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


# items beside their texts


def test_a_learned_item_starts_as_its_text_and_one_never_trained_on_stays_so():
    torch.manual_seed(0)
    residual, vectors = Residual(5, 4), torch.nn.functional.normalize(torch.randn(3, 4), dim=-1)
    numbers = torch.tensor([1, 4, 7])  # two items and a query
    torch.testing.assert_close(residual.eval()(numbers, vectors), vectors)
    optimiser = torch.optim.AdamW(residual.parameters(), lr=0.1)
    residual.train()
    for _ in range(30):
        optimiser.zero_grad()
        residual(numbers, vectors)[:, 0].sum().backward()
        optimiser.step()
    moved = residual.table.weight.abs().sum(dim=1) > 0
    assert moved.tolist() == [False, True, False, False, True]
    after = residual.eval()(numbers, vectors)
    assert (after[:2, 0] < vectors[:2, 0]).all()
    torch.testing.assert_close(after[2], vectors[2])
    torch.testing.assert_close(after.norm(dim=-1), torch.ones(3))


@torch.no_grad()
def test_what_was_learned_of_an_item_is_forgotten_now_and_then_in_training_only():
    torch.manual_seed(0)
    residual, vectors = (
        Residual(2000, 4, forget=0.2),
        torch.nn.functional.normalize(torch.ones(2000, 4), dim=-1),
    )
    residual.table.weight.normal_()
    numbers = torch.arange(2000)

    def text_alone() -> float:
        return float(((residual(numbers, vectors) - vectors).abs().amax(dim=1) < 1e-6).float().mean())

    assert 0.15 < text_alone() < 0.25
    residual.eval()
    assert text_alone() == 0


@pytest.mark.parametrize("asked", [True, False])
def test_items_are_learned_only_if_the_configuration_asks(dataset, bert, asked):
    network = made(dataset, bert, item_ids=asked)
    assert (network.residual is not None) == asked


@torch.no_grad()
@pytest.mark.parametrize("slope", [3.0, 0.01, -1.0])
def test_candidates_are_fetched_in_the_order_of_the_dot_products_that_they_are_scored_by(
    dataset, bert, slope
):
    network = made(dataset, bert, factors=3)
    torch.nn.init.normal_(network.factors.table.weight, std=0.5)
    main = next(task.name for task in network.heads.tasks if task.main)
    network.heads.slope[main][0] = slope
    pooled = torch.randn(len(dataset.texts), network.text.width)
    batch = Batches(dataset).batch(np.arange(9), {})
    before = network(batch, pooled[batch.texts])
    network.even()
    torch.testing.assert_close(network(batch, pooled[batch.texts]), before, rtol=1e-4, atol=1e-5)
    items = network.vectors(torch.arange(len(dataset.item_ids)), pooled[: len(dataset.item_ids)])
    users = network.users(batch, network.vectors(batch.texts, pooled[batch.texts]))
    d = network.text.projection.out_features
    scored = (
        max(slope, FAINT) * users[:, :d] @ items[:, :d].T
        + (network.heads.slopes(main)[0, d:] * users[:, d:]) @ items[:, d:].T
    )
    torch.testing.assert_close(network.fetched[0] * users @ items.T, scored, rtol=1e-4, atol=1e-5)
    assert network.heads.level == pytest.approx(max(slope, FAINT))


def test_vectors_with_an_objective_of_their_own_stay_as_they_learned_to_be(dataset, bert):
    searched = {"retrieval": RetrievalConfig(task="click")}
    network = made(replace(dataset, config=dataset.config.model_copy(update=searched)), bert, factors=3)
    network.even()
    assert network.heads.level == network.user.past.scale == 1.0


@pytest.fixture
def met(dataset, bert) -> Network:
    """Items that are told by everything in the log."""
    network = made(dataset, bert, factors=3, audience=9, dropout=0.0)
    told = dataset.histories
    users = np.repeat(np.arange(len(dataset.user_ids)), np.diff(told.starts))
    network.audience.meet(
        Events(users, told.items, told.events, told.times[: len(users)]), torch.tensor([0.0, 1.0, 2.0])
    )
    torch.nn.init.normal_(network.audience.table.weight)
    return network


def test_candidates_are_learned_without_what_their_own_user_says_of_them(dataset, met):
    batch = Batches(dataset).batch(np.arange(len(dataset.requests)), {})
    pooled = torch.randn(len(batch.texts), met.text.width)
    whole, rest = (met.train(mode).shared(batch, pooled).pair for mode in (False, True))
    torch.testing.assert_close(rest[0], whole[0])  # users are told by columns that know no audience
    user, item = 0, batch.texts[batch.candidates]
    known = dataset.histories.items[: dataset.histories.starts[1]]
    own = torch.isin(item, torch.from_numpy(known)) & (batch.users == user).unsqueeze(1)
    same = torch.isclose(whole[2], rest[2]).all(dim=-1)
    assert own.any()
    assert not same[own].any()
    roles = torch.zeros(whole[2].shape[-1], dtype=torch.bool)
    roles[met.text.projection.out_features + 1 :][:3] = True
    torch.testing.assert_close(rest[2][..., ~roles], whole[2][..., ~roles])


@torch.no_grad()
def test_what_users_said_of_items_goes_into_their_columns_in_the_end(dataset, met):
    batch = Batches(dataset).batch(np.arange(9), {})
    pooled = torch.randn(len(batch.texts), met.text.width)
    before = met(batch, pooled)
    for _ in range(2):  # a run that is resumed at its end does it again
        met.settle()
        torch.testing.assert_close(met(batch, pooled), before)
    assert not met.audience.table.weight.any()
    assert met.factors.table.weight[:, :3].any()
