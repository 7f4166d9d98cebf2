from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from model_store.text import TextTokenizer
from tests.training import toy
from training import texts as module
from training.device import Device
from training.model.encoder import TextEncoder, load
from training.texts import CPU, Texts

TEXTS = [f"{'even thing ' * (number % 7)}{number}" for number in range(60)]


class Counting(TextEncoder):
    """Remembers the shape of every batch that it encodes."""

    shapes: list[tuple[int, int]]

    def pooled(self, ids: Tensor, mask: Tensor) -> Tensor:
        self.shapes = [*getattr(self, "shapes", []), tuple(ids.shape)]
        return super().pooled(ids, mask)


def made(bert: Path, texts: list[str] = TEXTS, **model) -> tuple[Texts, Counting]:
    transformer, backend = load(str(bert))
    torch.manual_seed(0)
    encoder = Counting(toy.settings(model=model).model, transformer).eval()
    return Texts(texts, encoder, TextTokenizer(backend, 16)), encoder


def alone(texts: Texts, encoder: TextEncoder, number: int) -> Tensor:
    ids = torch.from_numpy(texts.tokens(number))[None]
    with torch.no_grad():
        return TextEncoder.pooled(encoder, ids, torch.ones_like(ids))[0]


def close(found: Tensor, expected: list[Tensor]) -> None:
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("freeze", ["all", "last:1", "none"])
def test_texts_pooled_in_batches_are_each_text_alone_in_the_order_asked(bert, freeze):
    texts, encoder = made(bert, freeze=freeze)
    order = torch.from_numpy(np.random.default_rng(0).permutation(60)[:41])
    close(texts.pooled(order).detach(), [alone(texts, encoder, int(number)) for number in order])


def test_all_is_every_text_in_order(bert):
    texts, encoder = made(bert)
    assert len(texts) == 60
    close(texts.all(), [alone(texts, encoder, number) for number in range(60)])


def test_the_share_of_a_token_is_of_all_texts(bert):
    texts, _ = made(bert, ["even", "手机 even thing"])
    unknown = TextTokenizer(load(str(bert))[1], 16).unknown
    counts = [(texts.tokens(number) == unknown).sum() for number in range(2)]
    assert texts.share(unknown) == pytest.approx(sum(counts) / sum(len(texts.tokens(n)) for n in range(2)))
    assert counts[0] == 0 < counts[1]
    assert texts.share(None) == 0.0


def test_each_text_is_encoded_once_and_no_batch_is_larger_than_planned(bert, monkeypatch):
    monkeypatch.setattr(module, "TOKENS", 64)
    texts, encoder = made(bert)
    texts.pooled(torch.arange(60))
    assert sum(rows for rows, _ in encoder.shapes) == 60
    assert max(rows * length for rows, length in encoder.shapes) <= 64
    assert len(encoder.shapes) > 3


def test_a_text_longer_than_a_batch_is_encoded_by_itself(bert, monkeypatch):
    monkeypatch.setattr(module, "TOKENS", 5)
    texts, encoder = made(bert)
    close(texts.pooled(torch.tensor([6, 0])), [alone(texts, encoder, number) for number in (6, 0)])


def test_texts_are_cut_where_the_tokenizer_cuts_them(bert):
    texts, _ = made(bert, ["thing " * 100])
    assert len(texts.tokens(0)) == 16


# kept


def kept(bert, cache, progress, texts=TEXTS, identity="one", **model):
    found, encoder = made(bert, texts, **model)
    found.keep(cache, identity, progress)
    return found, encoder


def test_a_frozen_transformer_encodes_each_text_once_and_never_again(bert, tmp_path, progress):
    texts, encoder = kept(bert, tmp_path, progress)
    assert sum(rows for rows, _ in encoder.shapes) == 60
    before = len(encoder.shapes)
    close(texts.pooled(torch.tensor([3, 1])), [alone(texts, encoder, number) for number in (3, 1)])
    assert texts.all().shape == (60, encoder.width)
    assert len(encoder.shapes) == before


def test_a_second_run_reads_the_file_of_the_first(bert, tmp_path, progress):
    first, _ = kept(bert, tmp_path, progress)
    [file] = tmp_path.iterdir()
    changed = np.load(file) + 1
    np.save(file, changed)
    second, encoder = kept(bert, tmp_path, progress)
    torch.testing.assert_close(second.all(), first.all() + 1, rtol=0, atol=0)
    assert not hasattr(encoder, "shapes")


def test_other_texts_or_another_encoder_have_another_file(bert, tmp_path, progress):
    kept(bert, tmp_path, progress)
    kept(bert, tmp_path, progress, texts=[*TEXTS[:-1], "other"])
    kept(bert, tmp_path, progress, texts=TEXTS[::-1])
    kept(bert, tmp_path, progress, identity="two")
    assert len(list(tmp_path.glob("*.npy"))) == 4


@pytest.mark.parametrize("model", [{"freeze": "none"}, {"pooling": "attention"}])
def test_what_can_still_change_is_not_kept(bert, tmp_path, progress, model):
    kept(bert, tmp_path, progress, **model)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_layers_that_learn_get_kept_states_and_give_what_the_whole_would(bert, tmp_path, progress, pooling):
    texts, encoder = kept(bert, tmp_path, progress, freeze="last:1", pooling=pooling)
    order = torch.from_numpy(np.random.default_rng(0).permutation(60)[:41])
    close(texts.pooled(order).detach(), [alone(texts, encoder, int(number)) for number in order])
    assert not texts.kept
    assert not hasattr(encoder, "shapes")


def test_gradients_through_kept_states_are_those_through_the_whole(bert, tmp_path, progress):
    found = []
    for texts, encoder in (kept(bert, tmp_path, progress, freeze="last:1"), made(bert, freeze="last:1")):
        texts.pooled(torch.arange(20)).square().sum().backward()
        found.append([parameter.grad for parameter in encoder.parameters() if parameter.grad is not None])
    assert len(found[0]) > 5
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_states_below_another_number_of_layers_have_another_file(bert, tmp_path, progress):
    kept(bert, tmp_path, progress, freeze="last:1")
    kept(bert, tmp_path, progress, freeze="last:2")
    kept(bert, tmp_path, progress, freeze="last:2")
    assert len(list(tmp_path.glob("*.npy"))) == 2


# gradients


@pytest.mark.parametrize(
    ("model", "learns"), [({"freeze": "last:1"}, True), ({"pooling": "attention"}, True), ({}, False)]
)
def test_gradients_reach_what_learns(bert, model, learns):
    texts, encoder = made(bert, **model)
    encoder.train()
    assert texts.pooled(torch.arange(4)).requires_grad == learns


def test_without_training_nothing_is_recorded(bert):
    texts, _ = made(bert, freeze="none")
    assert not texts.all().requires_grad


# a step


def learning(bert, device: Device = CPU, *, checkpointing: bool = False, **model) -> tuple[Texts, Counting]:
    _, encoder = made(bert, **model)
    tokenizer = TextTokenizer(load(str(bert))[1], 16)
    return Texts(TEXTS, encoder, tokenizer, device, checkpointing=checkpointing), encoder.train()


def stepped(texts: Texts, encoder: Counting) -> tuple[Tensor, list[Tensor], int]:
    """What a step makes of all texts, its gradients, and the bytes that it keeps for them."""
    held = 0

    def hold(value: Tensor) -> Tensor:
        nonlocal held
        held += value.nbytes
        return value

    torch.manual_seed(3)
    with torch.autograd.graph.saved_tensors_hooks(hold, lambda value: value):
        found = texts.pooled(torch.arange(60))
    before = held
    found.square().sum().backward()
    gradients = [each.grad for each in encoder.parameters() if each.grad is not None]
    encoder.zero_grad()
    return found.detach(), gradients, before


@pytest.mark.parametrize("device", [CPU, Device(torch.device("cpu"), bf16=True)], ids=["fp32", "bf16"])
@pytest.mark.parametrize("freeze", ["none", "last:1"])
def test_checkpointing_keeps_next_to_nothing_of_a_step_and_changes_no_bit_of_it(
    bert, tmp_path, progress, monkeypatch, freeze, device
):
    monkeypatch.setattr(module, "TOKENS", 64)
    steps = []
    for checkpointing in (False, True):
        texts, encoder = learning(bert, device, checkpointing=checkpointing, freeze=freeze)
        texts.keep(tmp_path, "one", progress)
        steps.append(stepped(texts, encoder))
    (plain, gradients, held), (found, again, left) = steps
    assert torch.equal(found, plain)
    assert len(again) == len(gradients) > 0
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(again, gradients, strict=True))
    assert left < held / 20


def test_only_steps_are_in_bfloat16(bert):
    exact, _ = made(bert, freeze="none")
    half, encoder = learning(bert, Device(torch.device("cpu"), bf16=True), freeze="none")
    encoder.eval()
    stepped = half.pooled(torch.arange(60)).detach()
    assert stepped.dtype == torch.float32
    assert not torch.equal(stepped, exact.all())
    torch.testing.assert_close(stepped, exact.all(), rtol=0.05, atol=0.05)
    assert torch.equal(half.all(), exact.all())


def test_a_step_is_computed_again_with_the_random_numbers_of_its_place(bert, monkeypatch):
    """torch keeps those of the devices of its arguments."""
    given = []
    keep = module.checkpoint

    def spied(work, *arguments, **options):
        given.extend(arguments)
        return keep(work, *arguments, **options)

    monkeypatch.setattr(module, "checkpoint", spied)
    texts, encoder = learning(bert, checkpointing=True, freeze="none")
    texts.pooled(torch.arange(9))
    assert {each.device for each in given if isinstance(each, Tensor)} == {encoder.place}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no graphics card")
def test_checkpointing_changes_nothing_on_a_card_either(bert):
    steps = []
    for checkpointing in (False, True):
        texts, encoder = learning(
            bert, Device(torch.device("cuda:0")), checkpointing=checkpointing, freeze="none"
        )
        steps.append(stepped(texts, encoder)[:2])
    for ours, theirs in zip(*(gradients for _, gradients in steps), strict=True):
        torch.testing.assert_close(ours, theirs)
