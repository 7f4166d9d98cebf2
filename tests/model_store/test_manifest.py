import pytest
from pydantic import ValidationError

from model_store.manifest import (
    Features,
    FileEntry,
    FusionDefault,
    Index,
    Manifest,
    Retrieval,
    Scale,
    Task,
    TextField,
    fingerprint,
)

CLICK = Task(name="click", type="binary", main=True)
TIME = Task(name="time", type="multiclass", inputs="user_item", classes=("night", "day"), clock="daypart")
TAGS = Task(name="tags", type="multilabel", inputs="item", classes=("a", "b", "c"))
READ = Task(name="read", type="quantile", quantiles=(0.05, 0.5, 0.9))
MOOD = Task(name="mood", type="multiclass", inputs="text", classes=("sad", "glad"))
FEATURES = Features(
    use=("hour", "rate:click/view", "number:price", "context:device"),
    rates={"click/view": 0.1},
    scales={"number:price": Scale(mean=2.5, std=0.5, log=True)},
    words={"device": ("phone",)},
    candidates=20,
)


def manifest(**changed):
    known = {
        "name": "shop", "created": "2026-11-22", "code_version": "1", "encoder": "bert", "dimension": 8,
        "max_tokens": 16, "opset": 20, "precision": "fp32", "events": ("profile", "click"), "history_limit": 9,
        "timezone": "UTC", "item_text": (TextField(name="title"),), "features": FEATURES,
        "tasks": (CLICK, TAGS, TIME, MOOD), "fusion": FusionDefault(weights={"click": 1.0}),
        "retrieval": Retrieval(), "files": {"heads.onnx": FileEntry(bytes=1, sha256="00")},
    }  # fmt: skip
    return Manifest(**{**known, **changed})


def test_it_is_the_same_after_json():
    whole = manifest(metrics={"fp32": {"click": {"auc": 0.5}}}, histograms={"click": {"edges": [0.0, 1.0]}})
    assert Manifest.model_validate_json(whole.model_dump_json()) == whole


def test_features_that_are_but_a_list_of_names_are_refused():
    with pytest.raises(ValidationError, match="features"):
        manifest(features=("hour",))


@pytest.mark.parametrize(
    ("measured", "where"),
    [({"rates": {"click/view": 0.0}}, "rates.click/view"), ({"scales": {"number:price": {"std": 0}}}, "std")],
)
def test_a_rate_or_spread_that_nothing_can_be_divided_by_is_refused(measured, where):
    with pytest.raises(ValidationError, match=where):
        Features.model_validate({"use": ("hour",), **measured})


@pytest.mark.parametrize("changed", [
    {"use": ("hour",)}, {"windows": ("1h",)}, {"rates": {"click/view": 0.2}}, {"scales": {}}, {"words": {}},
    {"candidates": 21},
])  # fmt: skip
def test_whatever_training_measured_for_the_features_changes_the_fingerprint(changed):
    assert fingerprint(manifest(features=FEATURES.model_copy(update=changed))) != fingerprint(manifest())


def test_a_name_that_it_does_not_know_is_refused():
    with pytest.raises(ValidationError, match="colour"):
        manifest(colour="red")


def test_it_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        manifest().name = "other"


def test_a_task_is_as_wide_as_its_classes_or_quantiles_and_at_least_one_column():
    assert [task.width for task in (CLICK, TIME, TAGS, MOOD, READ)] == [1, 2, 3, 2, 3]


def test_quantiles_are_named_as_they_are_written():
    assert READ.levels == ("0.05", "0.5", "0.9")
    assert CLICK.levels == ()


def test_tasks_that_read_one_text_run_in_the_text_encoder_and_the_others_online():
    assert [task.name for task in manifest().text_tasks] == ["tags", "mood"]
    assert [task.name for task in manifest().online_tasks] == ["click", "time"]


def test_of_an_item_everything_is_said_but_what_is_said_of_other_texts():
    assert [task.name for task in manifest().answered] == ["click", "tags", "time"]


def test_fusion_can_weigh_one_number_and_the_class_of_now_but_no_other_classes_and_no_quantiles():
    assert [task.scalar for task in (CLICK, TIME, TAGS, MOOD, READ)] == [True, True, False, False, False]


def test_an_unknown_task_is_a_key_error():
    assert manifest().task("tags") == TAGS
    with pytest.raises(KeyError, match="bought"):
        manifest().task("bought")


def test_the_precision_names_the_text_encoder_that_is_served():
    assert manifest().text_encoder_file == "text_encoder.onnx"
    assert manifest(precision="int8").text_encoder_file == "text_encoder.int8.onnx"


DECISIVE = {
    "dimension": 9, "max_tokens": 17, "precision": "int8", "events": ("profile", "buy"), "history_limit": 8,
    "timezone": "Europe/Copenhagen", "item_text": (TextField(name="title", label="named"),),
    "profile_text": (TextField(name="city"),), "features": Features(use=("weekday",)),
    "statistics_until": 1e9, "attributes": ("brand",), "tasks": (CLICK, TAGS, TIME),
    "files": {"heads.onnx": FileEntry(bytes=1, sha256="01")},
}  # fmt: skip
INDIFFERENT = {
    "name": "store", "version": 3, "created": "2027-01-01", "code_version": "2", "encoder": "other",
    "metrics": {"click": 1}, "parity": {"click": 0.0}, "gate": {"passed": True}, "data": {"items": 3},
    "histograms": {"click": {"edges": [0.0]}}, "golden_tolerance": 0.5, "fusion": FusionDefault(), "items": 5,
    "retrieval": Retrieval(user_weight=2.0), "index": Index(cells=2, reach=4.0, recall=0.99),
    "fingerprint": "ff", "opset": 21,
}  # fmt: skip


@pytest.mark.parametrize("name", DECISIVE)
def test_whatever_decides_a_vector_or_a_score_changes_the_fingerprint(name):
    assert fingerprint(manifest(**{name: DECISIVE[name]})) != fingerprint(manifest())


@pytest.mark.parametrize("name", INDIFFERENT)
def test_whatever_only_describes_leaves_the_fingerprint_alone(name):
    assert fingerprint(manifest(**{name: INDIFFERENT[name]})) == fingerprint(manifest())


def test_every_field_of_the_manifest_is_decisive_or_not_and_that_is_written_here():
    assert {*DECISIVE, *INDIFFERENT} == {*Manifest.model_fields} - {"format"}
