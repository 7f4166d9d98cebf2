import pytest

from app.api import ask as asks
from app.api.schema import ColdItem, FusionChoice
from app.errors import Invalid, TooLarge
from model_store.bundle import Bundle


@pytest.fixture(scope="session")
def manifest(bundle):
    return Bundle.open(bundle).manifest


def test_a_method_alone_keeps_the_weights_of_the_bundle(manifest):
    chosen = asks.fusion(FusionChoice(method="weighted_product"), manifest)
    assert (chosen.method, chosen.weights) == ("weighted_product", manifest.fusion.weights)


def test_weights_alone_keep_the_method_of_the_bundle(manifest):
    name = next(task.name for task in manifest.answered if task.scalar)
    chosen = asks.fusion(FusionChoice(weights={name: 2.0}), manifest)
    assert (chosen.method, chosen.weights) == (manifest.fusion.method, {name: 2.0})


def test_a_candidate_is_rendered_as_training_renders_items(manifest):
    fields = {field.name: "Acme" for field in manifest.item_text}
    candidate = asks.candidate(ColdItem(item_id="n", text=fields), manifest)
    assert candidate.text == ". ".join(f"{f.label}: Acme" if f.label else "Acme" for f in manifest.item_text)


def test_a_limit_is_named_with_what_was_sent():
    asks.check_size("pairs", 3, 3)
    with pytest.raises(TooLarge, match="pairs: 4 are more than 3"):
        asks.check_size("pairs", 4, 3)


def test_an_unknown_name_lists_the_known_ones(manifest):
    with pytest.raises(
        Invalid, match="filters.colour: is unknown to this model; use " + ", ".join(manifest.attributes)
    ):
        asks.filters({"colour": ["x"]}, manifest)
