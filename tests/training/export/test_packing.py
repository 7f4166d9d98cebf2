import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from training.export.packing import pack
from training.export.quantise import MICROSOFT


@pytest.fixture(scope="module")
def graph(opened):
    return onnx.load(opened.path("text_encoder.int8.onnx")).graph


def makers(graph) -> dict[str, onnx.NodeProto]:
    return {name: node for node in graph.node for name in node.output}


def test_products_read_real_tokens_alone(graph):
    made = makers(graph)
    for node in graph.node:
        if node.op_type == "MatMulIntegerToFloat":
            maker = made[node.input[0]]
            assert maker.op_type in ("Gather", "QuantizeLinear")
            if maker.op_type == "Gather":
                assert maker.input[1] == "packed_places"


def test_attention_reads_padded_texts_with_their_heads_side_by_side(graph):
    made = makers(graph)
    found = [node for node in graph.node if node.op_type == "Attention"]
    assert found
    for node in found:
        assert [made[name].input[1] for name in node.input[:3]] == ["packed_numbers"] * 3
        told = {each.name: each.i for each in node.attribute}
        assert told["q_num_heads"] == told["kv_num_heads"] == 2


def test_nothing_is_transposed_and_no_node_is_left_that_nobody_reads(graph):
    read = {name for node in graph.node for name in node.input} | {one.name for one in graph.output}
    assert not [node.op_type for node in graph.node if node.op_type == "Transpose"]
    assert all(read & set(node.output) for node in graph.node)
    assert {one.name for one in graph.initializer} <= read


@pytest.fixture
def small():
    """Embeddings, a residual product, and a sum over each text's real tokens."""
    random = np.random.default_rng(0)
    constants = {
        "table": random.standard_normal((9, 4)).astype(np.float32),
        "weight": random.integers(-9, 9, (4, 4)).astype(np.int8),
        "scale": np.float32(0.05), "zero": np.uint8(128), "unit": np.float32(1.0), "last": np.array([-1]),
        "middle": np.array([1]),
    }  # fmt: skip
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["x"]),
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("MatMulIntegerToFloat", ["q", "weight", "scale", "unit", "zero"], ["y"], domain=MICROSOFT),
        helper.make_node("Add", ["y", "x"], ["z"]),
        helper.make_node("Cast", ["attention_mask"], ["m"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["m", "middle"], ["w"]),
        helper.make_node("MatMul", ["w", "z"], ["vector"]),
    ]  # fmt: skip
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["B", "L"])
        for name in ("input_ids", "attention_mask")
    ]
    output = helper.make_tensor_value_info("vector", TensorProto.FLOAT, ["B", 1, 4])
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "small", inputs, [output], stored)
    opsets = [helper.make_opsetid("", 23), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def test_a_packed_graph_computes_what_it_did(small):
    ids = np.array([[1, 2, 3, 0], [4, 0, 0, 0], [5, 6, 7, 8]])
    feeds = {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64)}
    answers = []
    for packed in (False, True):
        if packed:
            pack(small)
        session = onnxruntime.InferenceSession(small.SerializeToString(), providers=["CPUExecutionProvider"])
        answers.append(session.run(None, feeds)[0])
    np.testing.assert_allclose(*answers, atol=1e-6)
    assert [node.op_type for node in small.graph.node].count("Gather") == 4  # table, bytes, rows, and back
