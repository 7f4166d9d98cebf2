import json
import math
from dataclasses import replace

import numpy as np
import pytest

from model_store.engine import Engine
from model_store.manifest import Task
from training.evaluate import measure
from training.export import gate, verdict
from training.export.verdict import ALIKE, LIMIT, Compared, alike, judge
from training.predict import predict

SAME = {"mean": 1.0, "least": 1.0}
KIND = Task(name="kind", type="multiclass", classes=("a", "b"))


def kinds(rows: int, *, lost: int, won: int = 0, before: float = 0.8) -> Compared:
    """A task of two classes, `before` of them right in fp32; int8 loses some of those and wins others."""
    right = np.arange(rows) < round(before * rows)
    changed = right.copy()
    changed[:lost], changed[rows - won :] = False, True
    sides = [np.stack([side, ~side], axis=1).astype(np.float32) for side in (right, changed)]
    return Compared(KIND, np.zeros(rows, dtype=np.int64), *sides)


def ranked(seed: int, noise: float, lists: int = 200) -> Compared:
    """Clicks in lists of ten, and int8 scores that are those of fp32 with noise."""
    generator = np.random.default_rng(seed)
    labels = (np.arange(10 * lists) % 10 == 0).astype(float)
    before = generator.normal(size=len(labels)) + labels
    after = before + noise * generator.normal(size=len(labels))
    sides = [1.0 / (1.0 + np.exp(-each))[:, None] for each in (before, after)]
    return Compared(Task(name="click", type="binary"), labels, *sides, np.arange(len(labels)) // 10)


# losses


def test_a_loss_beyond_the_limit_and_beyond_chance_is_refused():
    found = judge([kinds(10_000, lost=200)], SAME)
    assert not found["passed"]
    assert (found["worst"], found["limit"], found["level"]) == ("kind", LIMIT, 0.95)
    told = found["tasks"]["kind"]
    assert told["loss"] == pytest.approx(200 / 8_000)
    assert not told["passed"]
    assert LIMIT < told["least"] < told["loss"]


def test_a_loss_beyond_the_limit_that_few_rows_may_have_made_by_chance_passes():
    found = judge([kinds(1_184, lost=14, won=9, before=0.627)], SAME)
    told = found["tasks"]["kind"]
    assert told["loss"] > LIMIT > told["least"]
    assert found["passed"]


def test_the_same_share_of_many_more_rows_is_refused():
    found = judge([kinds(118_400, lost=1_400, won=900, before=0.627)], SAME)
    assert not found["passed"]


def test_a_loss_within_the_limit_passes_however_certain_it_is():
    assert judge([kinds(100_000, lost=300)], SAME)["passed"]


def test_a_gain_is_no_loss():
    found = judge([kinds(1_000, lost=0, won=100)], SAME)
    assert found["passed"]
    assert found["tasks"]["kind"]["loss"] < 0.0


@pytest.mark.parametrize(("noise", "passed"), [(0.01, True), (1.0, False)])
def test_lists_are_compared_request_by_request(noise, passed):
    found = judge([ranked(0, noise)], SAME)
    assert found["tasks"]["click"]["metric"] == "impression_auc"
    assert found["passed"] is passed


def test_harmless_noise_is_refused_no_more_often_than_the_level_says():
    """Scores with noise to either side of those of fp32, so that nothing is lost but by chance."""
    refused = 0
    for seed in range(60):
        generator = np.random.default_rng(seed)
        noise = generator.normal(scale=0.1, size=(2, 300))
        labels = (generator.random(300) < 0.5).astype(float)
        sides = [
            1.0 / (1.0 + np.exp(-(labels + each)))[:, None] for each in noise + generator.normal(size=300)
        ]
        refused += not judge([Compared(Task(name="click", type="binary"), labels, *sides)], SAME)["passed"]
    assert refused <= 6


def test_the_error_of_a_number_learned_by_its_logarithm_is_that_of_the_logarithm():
    values = np.expm1(np.random.default_rng(0).normal(2.0, 0.3, size=400))
    sides = values[:, None] * 1.5, values[:, None] * 2.0
    task = Task(name="dwell", type="regression")
    found = judge([Compared(task, values, *sides, logarithm=True)], SAME)["tasks"]["dwell"]
    assert found["metric"] == "log_rmse"
    assert found["fp32"] == pytest.approx(
        np.sqrt(np.mean((np.log1p(sides[0][:, 0]) - np.log1p(values)) ** 2))
    )


# what cannot be known


def test_a_metric_that_fp32_cannot_define_is_not_judged():
    found = judge([kinds(0, lost=0), kinds(500, lost=0)], SAME)
    assert found["passed"]


def test_an_answer_that_is_no_number_is_refused():
    one = kinds(400, lost=0)
    found = judge([replace(one, after=np.full_like(one.after, np.nan)), ranked(0, 0.01)], SAME)
    assert not found["passed"]
    assert found["worst"] == "kind"


def test_of_a_single_request_nothing_is_forgiven_for_chance():
    one = ranked(0, 0.0, lists=1)
    found = judge([replace(one, after=1.0 - one.before)], SAME)
    told = found["tasks"]["click"]
    assert told["loss"] == told["least"] > LIMIT
    assert not found["passed"]
    assert "chance" not in found["reason"]


# vectors


def test_cosines_are_of_each_text_with_itself():
    ours = np.eye(3, dtype=np.float32)
    theirs = np.array([[1, 0, 0], [0, 1, 0], [0.6, 0, 0.8]], dtype=np.float32)
    assert alike(ours, theirs) == pytest.approx({"mean": 2.8 / 3, "least": 0.8})


@pytest.mark.parametrize("name", list(ALIKE))
@pytest.mark.parametrize("value", [-1e-4, math.nan])
def test_vectors_below_a_floor_are_refused_though_no_task_loses(name, value):
    cosines = {**SAME, name: ALIKE[name] + value}
    found = judge([kinds(500, lost=0)], cosines)
    assert not found["passed"]
    assert found["tasks"]["kind"]["passed"]
    assert found["cosine"]["floor"] == ALIKE
    assert "cosine" in found["reason"]


def test_the_reason_names_the_worst_task_its_metric_the_limit_and_what_may_be_chance():
    found = judge([ranked(0, 0.01), kinds(10_000, lost=200)], SAME)
    told = found["tasks"]["kind"]
    assert found["reason"] == (
        f"kind loses 2.50% of its accuracy, the limit is 0.5%, and {told['loss'] - told['least']:.2%} may be chance"
    )


def test_the_verdict_can_be_written():
    found = judge([ranked(0, 0.01), kinds(300, lost=1)], SAME, "fp16")
    assert json.loads(json.dumps(found)) == found
    assert set(found["tasks"]["kind"]) == {"metric", "fp32", "fp16", "loss", "error", "least", "passed"}


# of a real encoder


@pytest.fixture
def judged(loose, opened, bench, base, progress):
    """What the gate says of the loose bundle's int8 file, on all of validation or on so few rows of each task."""

    def found(rows: int | None = None):
        engine, whole = Engine(loose, "cpu", precision="int8"), Engine(opened, "cpu", precision="fp32")
        shipped, _ = gate.represent_by(engine, bench, base, progress)
        sides = [predict(bench.network, bench.dataset, one, "validation") for one in (base, shipped)]
        compared = [first(one, rows) for one in verdict.compare(bench.dataset, *sides)]
        return judge(compared, gate.alikeness(engine, whole, bench))

    return found


def first(one: Compared, rows: int | None) -> Compared:
    parts = {name: getattr(one, name)[:rows] for name in ("labels", "before", "after")}
    return replace(one, **parts, requests=None if one.requests is None else one.requests[:rows])


def noisy(values: np.ndarray) -> np.ndarray:
    return values * np.random.default_rng(0).normal(1.0, 2.0, size=values.shape)


@pytest.mark.parametrize("how", [noisy, np.zeros_like])
def test_an_encoder_with_spoilt_weights_is_refused(judged, loose, spoil, how):
    spoil(loose.folder / "text_encoder.int8.onnx", "_half", how)
    assert not judged()["passed"]


def test_few_rows_do_not_wave_a_spoilt_encoder_through(judged, loose, spoil):
    spoil(loose.folder / "text_encoder.int8.onnx", "_half", noisy)
    found = judged(rows=4)
    assert not found["passed"]
    assert "cosine" in found["reason"]


def test_the_encoder_as_it_was_quantised_passes(judged):
    found = judged()
    assert found["passed"], found["reason"]


def test_each_task_is_compared_on_its_labelled_rows_of_validation(bench, base):
    found = predict(bench.network, bench.dataset, base, "validation")
    told = {one.task.name: one.losing() for one in verdict.compare(bench.dataset, found, found)}
    table = measure(bench.dataset, found, "validation")
    assert set(told) == set(table)
    for name, one in told.items():
        assert one["before"] == pytest.approx(table[name][one["metric"]], nan_ok=True)
        assert one["loss"] == 0.0
