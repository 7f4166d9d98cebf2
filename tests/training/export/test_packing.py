import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from training.export import packing
from training.export.packing import pack
from training.export.quantise import MICROSOFT


@pytest.fixture(scope="module")
def graph(ways):
    return ways["padded"]


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


def test_where_nothing_is_padded_nothing_is_packed_and_nothing_masked(ways):
    kinds = {name: [node.op_type for node in way.node] for name, way in ways.items()}
    assert kinds["plain"].count("MatMulIntegerToFloat") == kinds["padded"].count("MatMulIntegerToFloat")
    assert not [name for node in ways["plain"].node for name in node.input if name.startswith("packed_")]
    found = [node for node in ways["plain"].node if node.op_type == "Attention"]
    assert found
    assert all(list(node.input[3:]) in ([], [""]) for node in found)


def test_a_mask_that_hides_something_though_all_is_real_is_kept(opened):
    """A text with a window: no token sees one that is three or more places away."""
    model = onnx.load(opened.path("text_encoder.onnx"))
    graph = model.graph
    [masks] = [{node.input[3] for node in graph.node if node.op_type == "Attention"}]
    [mask] = masks
    for node in graph.node:
        node.output[:] = [f"{name}_open" if name == mask else name for name in node.output]
    reach = np.abs(np.arange(64)[:, None] - np.arange(64)) < 3
    graph.initializer.append(numpy_helper.from_array(reach[None, None], "reach"))
    graph.initializer.append(numpy_helper.from_array(np.array([0, 0]), "begin"))
    graph.initializer.append(numpy_helper.from_array(np.array([2, 3]), "axes"))
    made = [helper.make_node("Shape", [f"{mask}_open"], ["end"], start=2, end=4),
            helper.make_node("Slice", ["reach", "begin", "end", "axes"], ["near"]),
            helper.make_node("And", [f"{mask}_open", "near"], [mask])]  # fmt: skip
    place = next(k for k, node in enumerate(graph.node) if f"{mask}_open" in node.output) + 1
    nodes = [*graph.node[:place], *made, *graph.node[place:]]
    del graph.node[:]
    graph.node.extend(nodes)
    assert packing.idle(model, np.full(16, 5)) == set()
    assert packing.idle(model, np.full(2, 5)) == {mask}
    assert packing.idle(onnx.load(opened.path("text_encoder.onnx")), np.full(16, 5)) == {mask}


def test_nothing_is_transposed_and_no_node_is_left_that_nobody_reads(graph):
    read = {name for node in graph.node for name in node.input} | {one.name for one in graph.output}
    assert not [node.op_type for node in graph.node if node.op_type == "Transpose"]
    assert all(read & set(node.output) for node in graph.node)


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


@pytest.mark.parametrize("first", [[1, 2, 3, 0], [1, 2, 3, 4]])
def test_a_packed_graph_computes_what_it_did(small, first):
    ids = np.array([first, [4, 0, 0, 0] if 0 in first else [4, 3, 2, 1], [5, 6, 7, 8]])
    feeds = {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64)}
    answers = []
    for packed in (False, True):
        if packed:
            pack(small, np.arange(1, 5))
        session = onnxruntime.InferenceSession(small.SerializeToString(), providers=["CPUExecutionProvider"])
        answers.append(session.run(None, feeds)[0])
    np.testing.assert_allclose(*answers, atol=1e-6)
    [both] = [node for node in small.graph.node if node.op_type == "If"]
    gathers = {way.g.name: [node.op_type for node in way.g.node].count("Gather") for way in both.attribute}
    assert gathers == {"plain": 1, "padded": 4}  # the table's; bytes, rows, and back
