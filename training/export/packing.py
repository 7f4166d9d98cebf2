"""Texts of different lengths in one batch, and no padding in any product.

The rows of all real tokens lie side by side, (T, ·), where each row's result follows from that row alone: products
with weights, sums, norms, activations. Attention and pooling, which know of texts, see them padded as before:

    (B, L, H) ─▶ packed (T, H) ─▶ products ─▶ padded (B, L, H) ─▶ attention ─▶ packed (T, H) ─▶ ...

At a padded place stands some real token's row, which the mask keeps out. Attention takes its heads side by side, so
that nothing is transposed.
"""

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

PRODUCT = "MatMulIntegerToFloat"
ROWS = ("Add", "Mul", "Gelu", "Relu", "Tanh", "LayerNormalization", "QuantizeLinear")
PLACES = "packed_places"  # of the real tokens among all places (T,)
NUMBERS = "packed_numbers"  # of the real tokens, at each place (B, L)
CONSTANTS = {"packed_all": [-1], "packed_first": 0, "packed_one": 1}


def pack(model: ModelProto, mask: str = "attention_mask") -> None:
    """Lay out a quantised text encoder's graph like this; `mask` (B, L) is 1 at real tokens, which come first."""
    packing = _Packing(model, mask)
    for node in model.graph.node:
        packing.add(node)
    del model.graph.node[:]
    model.graph.node.extend(_needed(packing.nodes, {one.name for one in model.graph.output}))
    model.graph.initializer.extend(
        numpy_helper.from_array(np.array(value, np.int64), name) for name, value in CONSTANTS.items()
    )


class _Packing:
    """The nodes of the new graph. A value keeps its name in the form in which its node makes it."""

    def __init__(self, model: ModelProto, mask: str) -> None:
        graph = model.graph
        self.nodes: list[NodeProto] = []
        self._heads = {one.name: one.type.tensor_type.shape.dim[1].dim_value for one in graph.value_info
                       if len(one.type.tensor_type.shape.dim) == 4}  # fmt: skip
        self._constants = {one.name: len(one.dims) for one in graph.initializer}
        self._makers = {name: node for node in graph.node for name in node.output}
        self._readers = {name: node for node in graph.node for name in node.input}
        self._packed: set[str] = set()  # values that are made as (T, ·)
        self._merged: set[str] = set()  # values that another node makes
        self._made: set[str] = set()  # values that are one in another form
        flat = self._node("Reshape", [mask, "packed_all"], "packed_mask")
        self._node("Reshape", [self._node("NonZero", [flat], "packed_found"), "packed_all"], PLACES)
        number = self._node(
            "Sub", [self._node("CumSum", [flat, "packed_first"], "packed_count"), "packed_one"], "packed_last"
        )
        self._node("Reshape", [number, self._node("Shape", [mask], "packed_shape")], NUMBERS)

    def add(self, node: NodeProto) -> None:
        """A node of the old graph."""
        if node.output[0] in self._merged:
            return
        if node.op_type == "Attention":
            self._attention(node)
        elif self._by_row(node):
            self._copy(node, [self._row(name) for name in node.input])
            self._packed.update(node.output)
        else:
            self._copy(node, [self._text(name) for name in node.input])

    def _by_row(self, node: NodeProto) -> bool:
        if node.op_type == PRODUCT:
            return True
        wide = any(self._constants.get(name, 0) > 1 for name in node.input)
        last = all(each.i == -1 for each in node.attribute if each.name == "axis")
        return node.op_type in ROWS and last and not wide and not self._packed.isdisjoint(node.input)

    def _attention(self, node: NodeProto) -> None:
        """Of queries, keys and values (B, heads, L, H / heads), as of what they were cut from."""
        heads = self._heads[node.input[0]]
        sources = [self._makers[self._makers[name].input[0]].input[0] for name in node.input[:3]]
        transposed = self._readers[node.output[0]]
        joined = self._readers[transposed.output[0]]
        self._merged |= {transposed.output[0], joined.output[0]}
        merged = helper.make_node("Attention", [*map(self._text, sources), *node.input[3:]], [joined.output[0]],
                                  name=node.name, q_num_heads=heads, kv_num_heads=heads)  # fmt: skip
        merged.attribute.extend(node.attribute)
        self.nodes.append(merged)

    def _row(self, name: str) -> str:
        """A value as (T, ·)."""
        if name in self._packed or name in self._constants or not name:
            return name
        flat = self._node("Flatten", [name], f"{name}_flat", axis=2)
        return self._node("Gather", [flat, PLACES], f"{name}_packed")

    def _text(self, name: str) -> str:
        """A value as (B, L, ·)."""
        return self._node("Gather", [name, NUMBERS], f"{name}_padded") if name in self._packed else name

    def _node(self, operator: str, inputs: list[str], output: str, **attributes: int) -> str:
        """Its value; made once."""
        if output not in self._made:
            self._made.add(output)
            self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def _copy(self, node: NodeProto, inputs: list[str]) -> None:
        copied = NodeProto()
        copied.CopyFrom(node)
        del copied.input[:]
        copied.input.extend(inputs)
        self.nodes.append(copied)


def _needed(nodes: list[NodeProto], outputs: set[str]) -> list[NodeProto]:
    """Those that the outputs follow from."""
    kept: list[NodeProto] = []
    for node in reversed(nodes):
        if not outputs.isdisjoint(node.output):
            outputs = outputs | set(node.input)
            kept.append(node)
    return kept[::-1]
