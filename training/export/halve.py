"""fp16 for the weights of the text encoder's transformer, for GPUs; heads, projection and norms stay fp32.

Each product with weights runs in fp16 between two casts: what a GPU's matrix units are fast at. The sums in between,
where fp16 would overflow or lose digits, stay as they are.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper


def halve(source: Path, target: Path) -> None:
    """Write a copy of a text encoder's graph with products in fp16."""
    model = onnx.load(source)
    graph = model.graph
    weights = {one.name: one for one in graph.initializer}
    nodes: list[NodeProto] = []
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in weights:
            nodes += _half(node)
        else:
            nodes.append(node)
    for name in {node.input[1] for node in nodes if node.op_type == "MatMul" and node.input[1] in weights}:
        values = numpy_helper.to_array(weights[name])
        weights[name].CopyFrom(numpy_helper.from_array(values.astype(np.float16), name))
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]  # stale beside other types; they are inferred again
    onnx.save(model, target)


def _half(node: NodeProto) -> list[NodeProto]:
    """A product as cast, product, cast."""
    entered, left = f"{node.output[0]}_half_in", f"{node.output[0]}_half_out"
    product = helper.make_node("MatMul", [entered, node.input[1]], [left], name=node.name)
    return [
        helper.make_node("Cast", [node.input[0]], [entered], to=TensorProto.FLOAT16),
        product,
        helper.make_node("Cast", [left], list(node.output), to=TensorProto.FLOAT),
    ]
