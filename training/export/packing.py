"""Texts of different lengths in one batch, and no padding in any product.

Where nothing is padded, as with one text alone, nothing is packed, and nothing masked:

    every token real? ── yes ─▶ plain, (B, L, H)
                      └─ no ──▶ packed

The rows of all real tokens lie side by side, (T, ·), where each row's result follows from that row alone: products
with weights, sums, norms, activations. Attention and pooling, which know of texts, see them padded as before:

    (B, L, H) ─▶ packed (T, H) ─▶ products ─▶ padded (B, L, H) ─▶ attention ─▶ packed (T, H) ─▶ ...

At a padded place stands some real token's row, which the mask keeps out. Attention takes its heads side by side, so
that nothing is transposed.
"""

from collections.abc import Set as AbstractSet

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

MASK = "attention_mask"  # the input (B, L) that is 1 at real tokens, which come first
FULL = "packed_full"  # whether it is 1 everywhere
PRODUCT = "MatMulIntegerToFloat"
ROWS = ("Add", "Mul", "Gelu", "Relu", "Tanh", "LayerNormalization", "QuantizeLinear")
PLACES = "packed_places"  # of the real tokens among all places (T,)
NUMBERS = "packed_numbers"  # of the real tokens, at each place (B, L)
SHARED = (
    1 << 16
)  # bytes from which both ways read the same weights: each that they share costs a run some time
CONSTANTS = {"packed_all": [-1], "packed_first": 0, "packed_one": 1}


def pack(model: ModelProto, ids: NDArray[np.int64]) -> None:
    """Lay out a quantised text encoder's graph like this; ids (L,): any text as long as texts may be."""
    graph, unread = model.graph, idle(model, ids)
    graph.initializer.extend(
        numpy_helper.from_array(np.array(value, np.int64), name) for name, value in CONSTANTS.items()
    )
    ways = [_branch(way, graph) for way in (_Plain(model, unread), _Packing(model))]
    shared = [one for one in graph.initializer if one.ByteSize() >= SHARED]
    del graph.node[:], graph.initializer[:]
    graph.initializer.extend(shared)
    graph.node.extend([
        helper.make_node("ReduceMin", [MASK], ["packed_least"], keepdims=0),
        helper.make_node("Cast", ["packed_least"], [FULL], to=TensorProto.BOOL),
        helper.make_node("If", [FULL], [one.name for one in graph.output], then_branch=ways[0], else_branch=ways[1]),
    ])  # fmt: skip


def idle(model: ModelProto, ids: NDArray[np.int64]) -> set[str]:
    """The masks of attention that hide nothing where every token is real; those of a window do, in a long text."""
    masks = {
        node.input[3] for node in model.graph.node if node.op_type == "Attention" and len(node.input) > 3
    }
    names = [name for name in masks if name and _type(model, name) == TensorProto.BOOL]
    if not names:
        return set()
    tapped = ModelProto()
    tapped.CopyFrom(model)
    tapped.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.BOOL, None) for name in names)
    session = onnxruntime.InferenceSession(tapped.SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {"input_ids": ids[None], MASK: np.ones_like(ids)[None]}
    return {name for name, value in zip(names, session.run(names, feeds), strict=True) if value.all()}


def _type(model: ModelProto, name: str) -> int:
    return next((one.type.tensor_type.elem_type for one in model.graph.value_info if one.name == name), 0)


def _branch(way: "_Plain", graph: GraphProto) -> GraphProto:
    """One way through the graph. Its values have names of their own; large weights are the whole graph's."""
    for node in graph.node:
        way.add(node)
    nodes = _needed(way.nodes, {one.name for one in graph.output})
    read = {name for node in nodes for name in node.input}
    own = [TensorProto.FromString(one.SerializeToString()) for one in graph.initializer
           if one.name in read and one.ByteSize() < SHARED]  # fmt: skip
    made = {name: f"{name}{way.ending}" for node in nodes for name in node.output}
    made |= {one.name: f"{one.name}{way.ending}" for one in own}
    for constant in own:
        constant.name = made[constant.name]
    for node in nodes:
        node.input[:] = [made.get(name, name) for name in node.input]
        node.output[:] = [made[name] for name in node.output]
    outputs = [ValueInfoProto() for _ in graph.output]
    for output, one in zip(outputs, graph.output, strict=True):
        output.CopyFrom(one)
        output.name = made[one.name]
    return helper.make_graph(nodes, way.ending.strip("_"), [], outputs, own)


class _Plain:
    """The nodes of the new graph, in which every token is real."""

    ending = "_plain"

    def __init__(self, model: ModelProto, idle: AbstractSet[str] = frozenset()) -> None:
        """idle: masks of attention that need not be read."""
        graph = model.graph
        self.nodes: list[NodeProto] = []
        self._idle = idle
        self._heads = {one.name: one.type.tensor_type.shape.dim[1].dim_value for one in graph.value_info
                       if len(one.type.tensor_type.shape.dim) == 4}  # fmt: skip
        self._constants = {one.name: len(one.dims) for one in graph.initializer}
        self._makers = {name: node for node in graph.node for name in node.output}
        self._readers = {name: node for node in graph.node for name in node.input}
        self._merged: set[str] = set()  # values that another node makes

    def add(self, node: NodeProto) -> None:
        """A node of the old graph."""
        if node.output[0] in self._merged:
            return
        if node.op_type == "Attention":
            self._attention(node)
        else:
            self._other(node)

    def _attention(self, node: NodeProto) -> None:
        """Of queries, keys and values (B, heads, L, H / heads), as of what they were cut from."""
        heads = self._heads[node.input[0]]
        sources = [self._makers[self._makers[name].input[0]].input[0] for name in node.input[:3]]
        transposed = self._readers[node.output[0]]
        joined = self._readers[transposed.output[0]]
        self._merged |= {transposed.output[0], joined.output[0]}
        rest = ["" if name in self._idle else name for name in node.input[3:]]
        merged = helper.make_node("Attention", [*map(self._text, sources), *rest], [joined.output[0]],
                                  name=node.name, q_num_heads=heads, kv_num_heads=heads)  # fmt: skip
        merged.attribute.extend(node.attribute)
        self.nodes.append(merged)

    def _other(self, node: NodeProto) -> None:
        self._copy(node, list(node.input))

    def _text(self, name: str) -> str:
        """A value as (B, L, ·)."""
        return name

    def _copy(self, node: NodeProto, inputs: list[str]) -> None:
        copied = NodeProto()
        copied.CopyFrom(node)
        copied.input[:] = inputs
        self.nodes.append(copied)


class _Packing(_Plain):
    """The same with padding. A value keeps its name in the form in which its node makes it."""

    ending = "_padded"

    def __init__(self, model: ModelProto) -> None:
        super().__init__(model)
        self._packed: set[str] = set()  # values that are made as (T, ·)
        self._made: set[str] = set()  # values that are one in another form
        flat = self._node("Reshape", [MASK, "packed_all"], "packed_mask")
        self._node("Reshape", [self._node("NonZero", [flat], "packed_found"), "packed_all"], PLACES)
        number = self._node(
            "Sub", [self._node("CumSum", [flat, "packed_first"], "packed_count"), "packed_one"], "packed_last"
        )
        self._node("Reshape", [number, self._node("Shape", [MASK], "packed_shape")], NUMBERS)

    def _other(self, node: NodeProto) -> None:
        if self._by_row(node):
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


def _needed(nodes: list[NodeProto], outputs: set[str]) -> list[NodeProto]:
    """Those that the outputs follow from."""
    kept: list[NodeProto] = []
    for node in reversed(nodes):
        if not outputs.isdisjoint(node.output):
            outputs = outputs | set(node.input)
            kept.append(node)
    return kept[::-1]
