import re

import pytest
import torch
from torch.nn.functional import linear

from tests.training.model.test_halves import asked, made
from training.errors import EncoderError
from training.model.adapters import adapt, decays, plain
from training.model.encoder import freeze
from training.model.halves import Halves, stack

ANY = [(kind, how) for kind in ("lora", "ia3") for how in ("bert", "roberta", "distilbert")] + [
    ("lora", "modernbert")
]


def adapted(folder, kind="lora", how="bert", learns="last:1", rank=4):
    transformer = made(how, folder)
    freeze(transformer, learns)
    torch.manual_seed(1)
    adapt(transformer, kind, rank)
    return transformer


def learning(module):
    return {name: value for name, value in module.named_parameters() if value.requires_grad}


def disturbed(transformer):
    """With adapters that have learned something."""
    for value in learning(transformer).values():
        with torch.no_grad():
            value.add_(0.1 * torch.randn(value.shape, generator=torch.Generator().manual_seed(2)))
    return transformer


def said(transformer):
    ids, mask = asked()
    with torch.no_grad():
        return transformer.eval()(input_ids=ids, attention_mask=mask).last_hidden_state[mask > 0]


@pytest.mark.parametrize(("kind", "how"), ANY)
@pytest.mark.parametrize("learns", ["last:1", "none"])
def test_adapters_change_nothing_at_first_and_alone_learn(bert, kind, how, learns):
    before = made(how, bert)
    transformer = adapted(bert, kind, how, learns)
    torch.testing.assert_close(said(transformer), said(before), rtol=0, atol=0)
    assert learning(transformer)
    assert all(re.search(r"\.(lora_[AB]|ia3_l)\.", name) for name in learning(transformer))
    as_it_came = dict(before.named_parameters())
    for name, value in transformer.named_parameters():
        if not value.requires_grad:
            assert torch.equal(value, as_it_came[name.replace(".base_layer.", ".")]), name


@pytest.mark.parametrize(("kind", "how"), ANY)
def test_what_was_learned_put_into_the_weights_says_the_same_and_is_a_transformer_as_it_came(bert, kind, how):
    transformer = disturbed(adapted(bert, kind, how))
    merged = plain(transformer)
    assert not torch.allclose(said(transformer), said(made(how, bert)), atol=1e-3)
    torch.testing.assert_close(said(merged), said(transformer), rtol=1e-6, atol=1e-6)
    assert [name for name, _ in merged.named_parameters()] == [
        name for name, _ in made(how, bert).named_parameters()
    ]


def test_the_transformer_that_learns_is_left_as_it_is_and_one_without_adapters_is_not_copied(bert):
    transformer = disturbed(adapted(bert))
    before = {name: value.clone() for name, value in transformer.state_dict().items()}
    plain(transformer)
    after = transformer.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in after.items())
    whole = made("bert", bert)
    assert plain(whole) is whole


@pytest.mark.parametrize("kind", ["lora", "ia3"])
def test_only_the_layers_that_learn_have_adapters(bert, kind):
    for learns, places in (("last:1", {"1"}), ("last:2", {"0", "1"}), ("none", {"0", "1"})):
        names = learning(adapted(bert, kind, learns=learns))
        assert {re.search(r"encoder\.layer\.(\d)\.", name)[1] for name in names} == places
        assert all(".pooler." not in name for name in names)


def test_lora_is_in_every_linear_layer_and_computes_its_formula(bert):
    transformer = disturbed(adapted(bert, rank=3))
    layer = stack(transformer)[1][-1]
    names = {name for name, each in layer.named_modules() if hasattr(each, "lora_A")}
    linears = {
        name for name, each in stack(made("bert", bert))[1][-1].named_modules() if hasattr(each, "weight")
    }
    assert names == {name for name in linears if "LayerNorm" not in name}
    query, states = layer.attention.self.query, torch.randn(5, 32)
    down, up = query.lora_A["default"].weight, query.lora_B["default"].weight
    assert (down.shape, up.shape) == ((3, 32), (32, 3))
    expected = linear(states, query.base_layer.weight, query.base_layer.bias) + 2.0 * (states @ down.T @ up.T)
    torch.testing.assert_close(query(states), expected, rtol=1e-6, atol=1e-6)


def test_ia3_scales_keys_values_and_the_wide_layer_and_nothing_else(bert):
    layer = stack(disturbed(adapted(bert, "ia3")))[1][-1]
    names = {name for name, each in layer.named_modules() if hasattr(each, "ia3_l")}
    assert names == {"attention.self.key", "attention.self.value", "output.dense"}
    key, states = layer.attention.self.key, torch.randn(5, 32)
    scale = key.ia3_l["default"].flatten()
    expected = linear(states, key.base_layer.weight, key.base_layer.bias) * scale
    torch.testing.assert_close(key(states), expected, rtol=1e-6, atol=1e-6)
    back, wide = layer.output.dense, torch.randn(5, 64)
    scale = back.ia3_l["default"].flatten()
    assert scale.shape == (64,)
    expected = linear(wide * scale, back.base_layer.weight, back.base_layer.bias)
    torch.testing.assert_close(back(wide), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("kind", "how"), ANY)
def test_the_upper_half_has_the_adapters_of_the_whole(bert, kind, how):
    transformer = adapted(bert, kind, how)
    halves, (ids, mask) = Halves(transformer, 1), asked()
    disturbed(transformer)
    lower = halves.lower(ids, mask)
    torch.testing.assert_close(lower, Halves(made(how, bert), 1).lower(ids, mask), rtol=0, atol=0)
    states = halves.upper(lower, mask)
    torch.testing.assert_close(states[mask > 0], said(transformer), rtol=1e-5, atol=1e-6)
    states.sum().backward()
    assert all(value.grad is not None for value in learning(transformer).values())


def test_factors_that_begin_at_1_are_not_drawn_towards_0(bert):
    assert all(map(decays, learning(adapted(bert))))
    assert not any(map(decays, learning(adapted(bert, "ia3"))))


def test_an_encoder_whose_keys_and_values_are_one_layer_has_no_ia3(bert):
    with pytest.raises(EncoderError, match=r'model.adapters = "ia3" needs keys and values .* use "lora"'):
        adapted(bert, "ia3", "modernbert")


def test_an_encoder_without_a_list_of_layers_or_linear_ones_has_no_adapters():
    with pytest.raises(EncoderError, match=r"model\.adapters need an encoder with a list of layers"):
        adapt(torch.nn.Linear(2, 2), "lora", 4)
    odd = torch.nn.ModuleDict({"layer": torch.nn.ModuleList([torch.nn.Conv1d(2, 2, 1)])})
    with pytest.raises(EncoderError, match=r'model\.adapters = "lora" needs linear layers'):
        adapt(odd, "lora", 4)
