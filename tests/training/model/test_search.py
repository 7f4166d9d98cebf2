import dataclasses

import numpy as np
import pytest
import torch

from training.batches import Batches
from training.model.search import MARGIN, Search, Wanted, contrastive, cosine, triplet

UNIFORM = Wanted(
    scores=torch.zeros(2, 4), cosines=torch.zeros(2, 4), own=torch.tensor([0, 2]),
    other=torch.tensor([[False, True, True, True], [True, True, False, False]]),
    shown=torch.tensor([[True, True, False, False], [True, False, True, True]]),
    seen=torch.tensor([0.5, 0.25, 1.0, 0.1]),
)  # fmt: skip


def with_(**changed) -> Wanted:
    return dataclasses.replace(UNIFORM, **changed)


def test_contrastive_is_the_softmax_with_the_chance_to_be_drawn_taken_from_the_others_alone():
    scores = torch.randn(2, 4)
    first = torch.stack([scores[0, 0], scores[0, 1] - np.log(0.25), scores[0, 2], scores[0, 3] - np.log(0.1)])
    second = torch.stack([scores[1, 2], scores[1, 0] - np.log(0.5), scores[1, 1] - np.log(0.25)])
    surprise = sum(-torch.log_softmax(row, dim=0)[0] for row in (first, second))
    uniform = np.log(1 + 4 + 1 + 10) + np.log(1 + 2 + 4)
    assert contrastive(with_(scores=scores)).item() == pytest.approx(surprise.item() / uniform, rel=1e-5)


@pytest.mark.parametrize("loss", [contrastive, triplet, cosine])
def test_a_guess_that_knows_nothing_loses_one(loss):
    assert loss(UNIFORM).item() == pytest.approx(1.0)


def test_the_batch_stands_for_the_catalogue():
    """Over many draws the sum over what was drawn, each by its chance, is that over all."""
    draw = np.random.default_rng(0)
    chances, scores = draw.uniform(0.05, 0.9, 50), draw.normal(size=50)
    sums = [np.exp(scores - np.log(chances))[draw.random(50) < chances].sum() for _ in range(4000)]
    assert np.mean(sums) == pytest.approx(np.exp(scores).sum(), rel=0.02)


def test_triplet_counts_what_comes_too_near():
    cosines = torch.tensor([[0.5, 0.4, 0.2, 0.9], [0.0, 0.1, 0.8, 0.9]])
    late = [MARGIN - 0.5 + 0.4, 0.0, MARGIN - 0.5 + 0.9, 0.0, 0.0]
    assert triplet(with_(cosines=cosines)).item() == pytest.approx(np.mean(late) / MARGIN, rel=1e-5)


def test_cosine_compares_with_what_was_shown_beside_it():
    cosines = torch.tensor([[0.5, 0.4, 0.9, 0.9], [-0.3, 0.9, 0.8, 0.9]])
    expected = np.mean([0.5, 0.2]) + np.mean([0.4, 0.0])
    assert cosine(with_(cosines=cosines)).item() == pytest.approx(expected, rel=1e-5)


def made(workbench, loss="contrastive"):
    bench = workbench(retrieval={"task": "click", "loss": loss})
    batch = next(Batches(bench.dataset).epoch(16, np.random.default_rng(0)))
    return bench, batch, bench.network.shared(batch, bench.texts.pooled(batch.texts))


def test_no_item_that_the_same_user_wanted_in_the_batch_is_held_against_another(workbench):
    bench, batch, shared = made(workbench)
    labels = batch.labels["click"]
    wanted = bench.network.search._wanted(batch, labels, *shared.pair)
    numbers = torch.unique(batch.texts[batch.candidates])
    liked = {}
    for row in range(len(labels)):
        user = int(batch.users[row]) if batch.users[row] >= 0 else -1 - row
        items = batch.texts[batch.candidates[row]][labels[row] == 1]
        liked.setdefault(user, set()).update(items.tolist())
    place = 0
    for row in range(len(labels)):
        user = int(batch.users[row]) if batch.users[row] >= 0 else -1 - row
        for item in batch.texts[batch.candidates[row]][labels[row] == 1].tolist():
            assert numbers[wanted.own[place]] == item
            assert not liked[user] & set(numbers[wanted.other[place]].tolist())
            place += 1
    assert place == len(wanted.own)


def test_what_was_wanted_is_told_as_its_own_row_sees_it(workbench):
    """Others may know what this user thought of it."""
    bench, batch, shared = made(workbench)
    user, query, items = shared.pair
    seen = items + torch.randn_like(items)  # another in every row
    labels = batch.labels["click"]
    wanted = bench.network.search._wanted(batch, labels, user, query, seen)
    rows, places = torch.where((batch.mask > 0) & (labels == 1))
    a, b = bench.network.search.slopes
    expected = ((a * user + b * query)[rows] * seen[rows, places]).sum(dim=1)
    torch.testing.assert_close(wanted.scores.gather(1, wanted.own[:, None])[:, 0], expected)


def test_items_that_only_fill_up_stand_for_nothing(workbench):
    bench, batch, shared = made(workbench)
    user, query, items = shared.pair
    filled = torch.where(batch.mask[..., None] > 0, items, torch.nan)
    numbers = batch.texts[batch.candidates]
    real = torch.isin(torch.unique(numbers), numbers[batch.mask > 0])
    wanted = bench.network.search._wanted(batch, batch.labels["click"], user, query, filled)
    assert wanted.scores[:, real].isfinite().all()


def test_items_are_as_often_in_a_batch_as_their_shares_say(workbench):
    bench, batch, shared = made(workbench)
    rows = bench.dataset.rows[bench.dataset.select("train")]
    shares = np.bincount(rows, minlength=len(bench.dataset.item_ids)) / len(rows)
    np.testing.assert_allclose(bench.network.search.shares, np.maximum(shares, 1e-6), rtol=1e-5)
    wanted = bench.network.search._wanted(batch, batch.labels["click"], *shared.pair)
    numbers = torch.unique(batch.texts[batch.candidates]).numpy()
    expected = 1 - (1 - shares[numbers]) ** int((batch.mask > 0).sum())
    np.testing.assert_allclose(wanted.seen, expected, rtol=1e-3)


@pytest.mark.parametrize("loss", ["contrastive", "triplet", "cosine"])
def test_the_gradient_goes_to_vectors_and_not_to_heads(workbench, loss):
    bench, batch, shared = made(workbench, loss)
    bench.network.retrieval(batch, shared).backward()
    touched = {name for name, value in bench.network.named_parameters() if value.grad is not None}
    assert {"search.sharpness", "text.projection.weight", "user.out.weight"} <= touched
    assert not [name for name in touched if name.startswith("heads.")]


def test_a_batch_in_which_nothing_was_wanted_has_no_loss(workbench):
    bench, batch, shared = made(workbench)
    for labels in (
        torch.zeros_like(batch.labels["click"]),
        torch.full_like(batch.labels["click"], torch.nan),
    ):
        assert bench.network.search(batch, labels, shared.pair) is None


def test_candidates_are_fetched_by_what_was_learned():
    search = Search("contrastive", 5)
    assert search.slopes.tolist() == pytest.approx([10.0, 10.0])
