import pytest
import torch
from transformers import (
    DistilBertConfig,
    DistilBertModel,
    ModernBertConfig,
    ModernBertModel,
    RobertaConfig,
    RobertaModel,
)

from training.errors import EncoderError
from training.model.encoder import load
from training.model.halves import Halves, stack

SMALL = {"vocab_size": 60, "num_hidden_layers": 3, "num_attention_heads": 2, "pad_token_id": 0}
WIDE = {"hidden_size": 16, "intermediate_size": 32}


def made(kind, folder):
    torch.manual_seed(0)
    models = {
        "bert": lambda: load(str(folder))[0],
        "roberta": lambda: RobertaModel(RobertaConfig(**SMALL, **WIDE)),
        "distilbert": lambda: DistilBertModel(
            DistilBertConfig(vocab_size=60, n_layers=3, n_heads=2, dim=16, hidden_dim=32)
        ),
        "modernbert": lambda: ModernBertModel(
            ModernBertConfig(**SMALL, **WIDE, cls_token_id=1, sep_token_id=2, bos_token_id=1, eos_token_id=2)
        ),
    }
    return models[kind]().eval()


def asked():
    ids = torch.randint(3, 40, (4, 7), generator=torch.Generator().manual_seed(1))
    mask = (torch.arange(7) < torch.tensor([[7], [3], [1], [5]])).long()
    return ids * mask, mask


@pytest.mark.parametrize("last", [1, 2])
@pytest.mark.parametrize("kind", ["bert", "roberta", "distilbert", "modernbert"])
def test_one_half_after_the_other_is_the_transformer(kind, last, bert):
    transformer = made(kind, bert)
    ids, mask = asked()
    halves = Halves(transformer, last)
    found = halves.upper(halves.lower(ids, mask), mask)
    expected = transformer(input_ids=ids, attention_mask=mask).last_hidden_state
    torch.testing.assert_close(found[mask > 0], expected[mask > 0], rtol=1e-5, atol=1e-6)


def test_what_is_below_is_another_thing_than_the_whole(bert):
    transformer = made("bert", bert)
    lower = Halves(transformer, 1).lower(*asked())
    ids, mask = asked()
    assert not torch.allclose(
        lower, transformer(input_ids=ids, attention_mask=mask).last_hidden_state, atol=1e-3
    )


def test_the_layers_that_learn_get_the_gradients_and_the_transformer_stays_whole(bert):
    transformer = made("bert", bert)
    names = [name for name, _ in transformer.named_modules()]
    halves, (ids, mask) = Halves(transformer, 1), asked()
    halves.upper(halves.lower(ids, mask), mask).sum().backward()
    _, layers = stack(transformer)
    assert all(parameter.grad is not None for parameter in layers[-1].parameters())
    assert all(parameter.grad is None for parameter in layers[0].parameters())
    assert names == [name for name, _ in transformer.named_modules()]
    assert not layers[-1]._forward_pre_hooks


def test_an_encoder_without_a_list_of_layers_cannot_be_halved():
    with pytest.raises(EncoderError, match="list of layers"):
        Halves(torch.nn.Linear(2, 2), 1)
