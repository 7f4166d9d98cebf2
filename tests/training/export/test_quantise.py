import logging

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from training.export.quantise import quantise

INTEGERS = (TensorProto.INT8, TensorProto.UINT8)


@pytest.fixture(scope="module")
def pair(opened):
    return [onnx.load(opened.path(name)).graph for name in ("text_encoder.onnx", "text_encoder.int8.onnx")]


def weights(graph, *parts: str) -> dict[str, int]:
    return {one.name: one.data_type for one in graph.initializer if any(part in one.name for part in parts)}


def test_every_weight_of_the_transformers_layers_is_an_integer(pair):
    """Twelve products with weights in two layers; attention's own products have none, and are one node a layer."""
    kinds = [[node.op_type for node in graph.node] for graph in pair]
    assert kinds[0].count("MatMul") == kinds[1].count("MatMulInteger") == 12
    assert kinds[0].count("Attention") == kinds[1].count("Attention") == 2


def test_projection_and_heads_are_left_in_fp32(pair):
    kept = weights(pair[1], "projection.weight", "text_heads")
    assert kept
    assert set(kept.values()) == {TensorProto.FLOAT}
    assert not [name for name in kept if "quantized" in name]


def test_weights_have_a_scale_for_each_column(pair):
    scales = [
        one for one in pair[1].initializer if one.name.startswith("val_") and one.name.endswith("_scale")
    ]
    assert len(scales) == 12
    assert all(list(scale.dims) in ([32], [64]) for scale in scales)


def test_inputs_and_outputs_stay_as_they_are(pair):
    for side in ("input", "output"):
        one, other = ([(node.name, str(node.type)) for node in getattr(graph, side)] for graph in pair)
        assert one == other


def test_the_file_is_smaller(opened):
    fp32, int8 = (
        opened.path(name).stat().st_size for name in ("text_encoder.onnx", "text_encoder.int8.onnx")
    )
    assert int8 < fp32


def test_quantising_again_gives_the_same_weights_and_leaves_the_source_alone(opened, tmp_path, pair, caplog):
    source = opened.path("text_encoder.onnx")
    before = source.read_bytes()
    with caplog.at_level(logging.WARNING):
        quantise(source, tmp_path / "again.onnx")
    assert source.read_bytes() == before
    assert caplog.messages == []
    again = {one.name: one.raw_data for one in onnx.load(tmp_path / "again.onnx").graph.initializer}
    for one in pair[1].initializer:
        np.testing.assert_array_equal(
            np.frombuffer(again[one.name], dtype=np.uint8), np.frombuffer(one.raw_data, dtype=np.uint8)
        )
