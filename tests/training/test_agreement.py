import pytest

from tests.training import toy
from training.agreement import agree
from training.errors import ConfigError

DEEP = {"freeze": "last:1"}


@pytest.mark.parametrize(
    ("key", "value"),
    [("dimension", 16), ("freeze", "none"), ("max_tokens", 32), ("adapters", "lora"), ("rank", 2)],
)
def test_tables_whose_encoders_differ_are_refused_with_the_key(key, value):
    one, other = toy.settings(model=DEEP), toy.settings(model={**DEEP, key: value})
    with pytest.raises(ConfigError, match=rf"model.{key} = .*, but .* in toy; tables that train one encoder"):
        agree([one, other.model_copy(update={"name": "other"})])


def test_tables_of_one_name_are_refused():
    with pytest.raises(ConfigError, match="name = 'toy' of two configurations"):
        agree([toy.settings(), toy.settings()])


def test_tables_that_train_one_encoder_train_it_in_one_place():
    one, other = (toy.settings(training={"device": name}) for name in ("auto", "cpu"))
    with pytest.raises(ConfigError, match=r"training\.device = 'cpu', but 'auto' in toy"):
        agree([one, other])


@pytest.mark.parametrize(("key", "value"), [("optimizer", "sgd"), ("schedule", "cosine")])
def test_tables_that_train_one_encoder_train_it_by_one_optimiser(key, value):
    one, other = toy.settings(), toy.settings(training={key: value})
    with pytest.raises(ConfigError, match=rf"training\.{key} = '{value}', but '.*' in toy"):
        agree([one, other.model_copy(update={"name": "other"})])
