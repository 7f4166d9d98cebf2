import pytest

from app.api import ask as asks
from app.api.body import parse
from app.api.schema import ColdItem, Context, FusionChoice
from app.errors import Invalid, TooLarge
from model_store.bundle import Bundle
from model_store.clock import Clock
from model_store.features import FeatureSet
from model_store.fusion import Fusion
from model_store.manifest import Features


@pytest.fixture(scope="session")
def manifest(bundle):
    return Bundle.open(bundle).manifest


@pytest.fixture(scope="session")
def features(manifest):
    return FeatureSet(manifest.features, Clock(manifest.timezone))


WORDS = FeatureSet(
    Features(
        use=("context:device", "context:slot"), words={"device": ("ios", "2", "true"), "slot": ("top",)}
    ),
    Clock("UTC"),
)


def test_a_method_alone_keeps_the_weights_of_the_bundle(manifest):
    chosen = asks.fusion(FusionChoice(method="weighted_product"), Fusion.default(manifest), manifest)
    assert (chosen.method, chosen.weights) == ("weighted_product", manifest.fusion.weights)


def test_weights_alone_keep_the_method_of_the_bundle(manifest):
    name = next(task.name for task in manifest.answered if task.scalar)
    chosen = asks.fusion(FusionChoice(weights={name: 2.0}), Fusion.default(manifest), manifest)
    assert (chosen.method, chosen.weights) == (manifest.fusion.method, {name: 2.0})


def test_a_candidate_is_rendered_as_training_renders_items(manifest, features):
    fields = {field.name: "Acme" for field in manifest.item_text}
    candidate = asks.candidate(ColdItem(item_id="n", text=fields), manifest, features)
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


@pytest.mark.parametrize(
    ("sent", "place"),
    [
        ('"ios"', 0),
        ('" ios "', 0),
        ("2", 1),
        ("2.0", 1),
        ("true", 2),
        ("2.5", -1),
        ('"android"', -1),
        ("null", -1),
    ],
)
def test_a_word_of_the_request_is_spelled_as_in_the_tables(sent, place):
    context = parse(Context, b'{"device": %b}' % sent.encode())
    assert asks.words(context, WORDS) == {"device": place, "slot": -1}


def test_without_a_context_every_word_is_another():
    assert asks.words(None, WORDS) == {"device": -1, "slot": -1}


def test_a_word_that_no_feature_reads_is_refused_but_the_device_is_always_taken(features):
    plain = FeatureSet(Features(use=("hour",)), Clock("UTC"))
    assert asks.words(Context(device="ios"), plain) == {}
    with pytest.raises(Invalid, match="weather: is unknown to this model; use timestamp, device, slot"):
        asks.words(Context(weather="rain"), WORDS)


def test_numbers_of_a_candidate_are_those_that_the_features_read(manifest, features):
    [name] = features.numbers
    text = {manifest.item_text[0].name: "a red hat"}
    given = ColdItem(item_id="n", text=text, numbers={name: 9.5})
    assert asks.candidate(given, manifest, features).numbers == {name: 9.5}
    with pytest.raises(
        Invalid, match=f"candidates\\[0\\].numbers.weight: is unknown to this model; use {name}"
    ):
        asks.candidates([ColdItem(item_id="n", numbers={"weight": 1.0})], manifest, features)


def test_an_item_without_text_is_one_by_its_id(manifest, features):
    assert asks.candidate(ColdItem(item_id="n"), manifest, features) == "n"
