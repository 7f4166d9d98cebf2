from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from model_store.engine import Engine
from model_store.shelf import Shelf
from training.export.halve import halve
from training.export.publish import publish
from training.export.recheck import recheck
from training.sections import ExportConfig


@pytest.fixture(scope="module")
def halved(bench, run, progress, tmp_path_factory):
    """A bundle that was published with fp16 asked for."""
    config = bench.dataset.config.model_copy(update={"export": ExportConfig(precision="fp16")})
    asked = replace(bench, dataset=replace(bench.dataset, config=config))
    return publish(asked, run, Shelf(tmp_path_factory.mktemp("halved")), progress)


def test_the_products_of_the_layers_are_in_fp16_and_nothing_else(opened, tmp_path):
    halve(opened.path("text_encoder.onnx"), tmp_path / "half.onnx")
    before, after = onnx.load(opened.path("text_encoder.onnx")).graph, onnx.load(tmp_path / "half.onnx").graph
    kinds = {one.name: one.data_type for one in after.initializer}
    half = {name for name, kind in kinds.items() if kind == TensorProto.FLOAT16}
    assert len(half) == 12  # six in each of two layers
    assert {name: kind for name, kind in kinds.items() if name not in half} == {
        one.name: one.data_type for one in before.initializer if one.name not in half
    }
    assert [node.name for node in after.output] == [node.name for node in before.output]
    assert sum(node.op_type == "Cast" for node in after.node) - sum(
        node.op_type == "Cast" for node in before.node
    ) == 2 * len(half)


def test_a_bundle_that_asked_for_fp16_serves_it_after_its_gate(halved, opened):
    assert halved.manifest.precision == "fp16"
    assert "text_encoder.int8.onnx" not in halved.manifest.files
    assert all({"fp32", "fp16"} <= set(task) for task in halved.manifest.gate["tasks"].values())
    whole, half = Engine(halved, "cpu", precision="fp32"), Engine(halved, "cpu")
    for text in ("red running shoes", "mug", "a much longer text about running shoes for the winter " * 3):
        np.testing.assert_allclose(half.text(text).vector, whole.text(text).vector, atol=2e-3)


def test_texts_in_fp16_agree_alone_and_together(halved):
    engine = Engine(halved, "cpu")
    tokens = [
        engine.tokenizer.encode(text) for text in ("mug", "red running shoes", "shoes for the winter, red")
    ]
    for alone, row in zip(tokens, engine.rows(tokens), strict=True):
        np.testing.assert_allclose(row[: halved.manifest.dimension], engine.tokens(alone).vector, atol=2e-3)


def test_the_gate_of_such_a_bundle_is_found_again(halved, bench, progress):
    assert recheck(bench, halved, progress)["passed"]
