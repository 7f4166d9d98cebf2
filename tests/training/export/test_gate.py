import copy
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from model_store.engine import Engine
from model_store.manifest import Task
from training.evaluate import measure
from training.export import gate
from training.export.gate import LIMIT
from training.model.network import Residual
from training.predict import predict, represent

TASKS = (Task(name="click", type="binary"), Task(name="dwell", type="regression"))


class Two:
    """As much of a data set as a verdict needs."""

    tasks = TASKS


def judge(click: tuple[float, float], dwell: tuple[float, float]):
    before, after = ({"click": {"auc": click[at]}, "dwell": {"rmse": dwell[at]}} for at in (0, 1))
    return gate.judge(Two, before, after)


# the verdict


@pytest.mark.parametrize(
    ("click", "dwell", "passed", "worst"),
    [
        ((0.8, 0.8), (2.0, 2.0), True, "click"),
        ((0.8, 0.8 * 0.9951), (2.0, 2.0), True, "click"),
        ((0.8, 0.8 * 0.9949), (2.0, 2.0), False, "click"),
        ((0.8, 0.9), (2.0, 2.0 * 1.0049), True, "dwell"),
        ((0.8, 0.9), (2.0, 2.0 * 1.0051), False, "dwell"),
        ((0.8, math.nan), (2.0, 2.0), False, "click"),
        ((math.nan, 0.1), (2.0, 1.9), True, "click"),
    ],
)
def test_no_task_may_lose_more_than_half_a_percent_of_its_metric(click, dwell, passed, worst):
    verdict = judge(click, dwell)
    assert (verdict["passed"], verdict["worst"]) == (passed, worst)
    assert verdict["limit"] == LIMIT == 0.005


def test_the_reason_names_the_worst_task_its_metric_and_the_limit():
    assert judge((0.8, 0.6), (2.0, 2.0))["reason"] == "click loses 25.00% of its auc, the limit is 0.5%"


def test_the_verdict_holds_both_values_of_every_task():
    tasks = judge((0.8, 0.6), (2.0, 2.1))["tasks"]
    assert tasks["click"] == {"metric": "auc", "fp32": 0.8, "int8": 0.6, "loss": pytest.approx(0.25)}
    assert tasks["dwell"] == {"metric": "rmse", "fp32": 2.0, "int8": 2.1, "loss": pytest.approx(0.05)}


# what it judges


def test_every_text_that_is_read_outside_of_training_is_encoded_by_the_engine(bench):
    dataset = bench.dataset
    wanted = set(gate.needed(dataset).tolist())
    for split in ("validation", "test"):
        for number in dataset.requests.of(split):
            assert set(dataset.rows[slice(*dataset.requests.starts[number : number + 2])]) <= wanted
            assert dataset.requests.queries[number] in wanted | {-1}
            user = dataset.requests.users[number]
            assert user < 0 or dataset.profiles[user] in wanted | {-1}
    for labels in dataset.alone.values():
        assert set(labels.texts[labels.splits > 0].tolist()) <= wanted


def test_the_fp32_engine_loses_nothing(opened, bench, base, progress):
    engine = Engine(opened, "cpu", precision="fp32")
    represented, items = gate.represent_by(engine, bench, base, progress)
    np.testing.assert_allclose(represented.vectors, base.vectors, atol=1e-4)
    for name, values in base.values.items():
        np.testing.assert_allclose(represented.values[name], values, atol=1e-4)
    assert len(items) == len(bench.dataset.item_ids)
    tables = [
        measure(bench.dataset, predict(bench.network, bench.dataset, one, "validation"), "validation")
        for one in (base, represented)
    ]
    verdict = gate.judge(bench.dataset, *tables)
    assert verdict["passed"], verdict["reason"]


def test_what_was_learned_of_the_items_themselves_is_added_to_what_the_engine_reads(opened, bench, progress):
    network = copy.deepcopy(bench.network)
    network.residual = Residual(len(bench.dataset.item_ids), opened.manifest.dimension).eval()
    torch.nn.init.normal_(network.residual.table.weight, std=0.3)
    moved = replace(bench, network=network)
    base = represent(network, bench.dataset, bench.texts)
    represented, _ = gate.represent_by(Engine(opened, "cpu", precision="fp32"), moved, base, progress)
    np.testing.assert_allclose(represented.vectors, base.vectors, atol=1e-4)


def test_the_order_of_the_items_encodings_is_that_of_the_catalogue(opened, bench, base, progress):
    engine = Engine(opened, "cpu", precision="fp32")
    _, items = gate.represent_by(engine, bench, base, progress)
    for number in (0, 50, len(items) - 1):
        alone = engine.text(bench.dataset.texts[number])
        np.testing.assert_array_equal(items[number].vector, alone.vector)


def test_an_int8_file_of_zeros_loses_and_is_refused(loose, spoil, bench, base, progress):
    spoil(loose.folder / "text_encoder.int8.onnx", "_half", np.zeros_like)
    represented, _ = gate.represent_by(Engine(loose, "cpu", precision="int8"), bench, base, progress)
    tables = [
        measure(bench.dataset, predict(bench.network, bench.dataset, one, "validation"), "validation")
        for one in (base, represented)
    ]
    verdict = gate.judge(bench.dataset, *tables)
    assert not verdict["passed"]
    assert verdict["tasks"][verdict["worst"]]["loss"] > 0.02


def test_texts_of_the_training_part_are_left_as_torch_encoded_them(loose, spoil, bench, base, progress):
    shutil.copyfile(loose.folder / "text_encoder.onnx", loose.folder / "text_encoder.int8.onnx")
    spoil(loose.folder / "text_encoder.int8.onnx", "text.projection.weight", lambda values: -values)
    represented, _ = gate.represent_by(Engine(loose, "cpu", precision="int8"), bench, base, progress)
    wanted = np.zeros(len(bench.dataset.texts), dtype=bool)
    wanted[gate.needed(bench.dataset)] = True
    np.testing.assert_array_equal(represented.vectors[~wanted], base.vectors[~wanted])
    moved = (represented.vectors[wanted] - base.vectors[wanted]).abs().amax(dim=1)
    assert (moved > 0.01).all()
