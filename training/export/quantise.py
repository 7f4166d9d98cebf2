"""int8 for the products of the text encoder's transformer; heads and projection stay fp32.

What enters a product is quantised by a scale that was measured once, on the data set's own texts: a text's numbers
do not depend on what else is in its batch, and sums of int8 are exact. A few channels of BERT are many times as wide
as the others (Bondarenko et al., EMNLP 2021) and would leave them a dozen levels; they are made narrower, and their
weights wider (after SmoothQuant, Xiao et al., ICML 2023):

    x ─▶ x / width ─▶ uint8 ─▶ product with int8 of weight · width, a scale a column ─▶ fp32, with the bias

Embeddings are kept in fp16. Heads are tiny, and int8 there would spoil their calibration.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from model_store.engine import BATCH, EXACT
from training.export.packing import pack

USUAL = 0.95  # so many of the channels are left as they are
LEVELS = 127  # of a weight, to either side
MICROSOFT = "com.microsoft"
Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Span:
    """The least and the greatest of each channel that enters a product, (in,) each; zero lies between them."""

    low: Matrix
    high: Matrix

    @property
    def widths(self) -> Matrix:
        """How many times as wide as nearly all others each channel is; 1 for those."""
        reach = np.maximum(-self.low, self.high)
        usual = max(float(np.quantile(reach, USUAL)), float(np.finfo(np.float32).tiny))
        return np.maximum(reach / usual, 1.0).astype(np.float32)

    @property
    def levels(self) -> tuple[np.float32, np.uint8]:
        """Scale and zero point of the uint8, once the wide channels are narrower."""
        low, high = float((self.low / self.widths).min()), float((self.high / self.widths).max())
        scale = max(high - low, 1e-6) / 255.0
        return np.float32(scale), np.uint8(np.clip(round(-low / scale), 0, 255))


def quantise(source: Path, target: Path, texts: Sequence[NDArray[np.int64]], *, longest: int) -> None:
    """Write an int8 copy of a text encoder's graph; `texts`: token ids (L,) like those that it will read.

    longest: the tokens that a text may have.
    """
    model = onnx.load(source)
    weights = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    # the exporter makes two-dimensional layers Gemm: those behind the pooling; the transformer's are MatMul
    products = [node for node in model.graph.node if node.op_type == "MatMul" and node.input[1] in weights]
    spans = observe(model, list(dict.fromkeys(node.input[0] for node in products)), texts)
    _Rewritten(model, weights, spans).finish()
    pack(model, np.resize(texts[0], longest))
    helper.set_model_props(model, {BATCH: EXACT})
    del model.graph.value_info[:]  # stale beside other types and shapes; they are inferred again
    onnx.save(model, target)


def observe(model: ModelProto, names: Sequence[str], texts: Sequence[NDArray[np.int64]]) -> dict[str, Span]:
    """What some values of a text encoder's graph are on these texts."""
    tapped = ModelProto()
    tapped.CopyFrom(model)
    tapped.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        tapped.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    found: dict[str, Span] = {}
    for ids in texts:
        feeds = {"input_ids": ids[None], "attention_mask": np.ones_like(ids)[None]}
        for name, value in zip(names, session.run(list(names), feeds), strict=True):
            rows = value.reshape(-1, value.shape[-1])
            low, high = np.minimum(rows.min(axis=0), 0.0), np.maximum(rows.max(axis=0), 0.0)
            known = found.get(name)
            found[name] = Span(
                low if known is None else np.minimum(low, known.low),
                high if known is None else np.maximum(high, known.high),
            )
    return found


class _Rewritten:
    """A graph whose products with these inputs are in int8."""

    def __init__(self, model: ModelProto, weights: dict[str, Matrix], spans: dict[str, Span]) -> None:
        self._model, self._weights, self._spans = model, weights, spans
        self._nodes: list[NodeProto] = []
        self._constants: list[TensorProto] = []
        self._levels: dict[str, list[str]] = {}  # of what enters: quantised, scale, zero point
        self._users: dict[str, list[NodeProto]] = {}
        for node in model.graph.node:
            for name in node.input:
                self._users.setdefault(name, []).append(node)
        self._folded: set[str] = set()  # names of sums that became a part of their product
        for node in model.graph.node:
            if node.op_type == "MatMul" and node.input[1] in weights:
                self._product(node)
            elif node.op_type == "Gather" and node.input[0] in weights and self._floats(node.input[0]):
                self._looked_up(node)
            elif node.output[0] not in self._folded:
                self._nodes.append(node)

    def finish(self) -> None:
        """Put it in the old one's place, without the weights that nothing reads any more."""
        graph = self._model.graph
        read = {name for node in self._nodes for name in node.input}
        constants = [one for one in (*graph.initializer, *self._constants) if one.name in read]
        for field, values in ((graph.node, self._nodes), (graph.initializer, constants)):
            del field[:]
            field.extend(values)
        self._model.opset_import.append(helper.make_opsetid(MICROSOFT, 1))

    def _product(self, node: NodeProto) -> None:
        entered, span = self._entered(node.input[0]), self._spans[node.input[0]]
        weight = self._weights[node.input[1]] * span.widths[:, None]
        scales = np.maximum(np.abs(weight).max(axis=0), 1e-12) / LEVELS
        small = np.clip(np.rint(weight / scales), -LEVELS, LEVELS).astype(np.int8)
        name, bias = node.output[0], self._bias(node)
        value, scale, zero = entered
        inputs = [value, self._constant(f"{name}_int8", small), scale,
                  self._constant(f"{name}_scale", scales.astype(np.float32)), zero,
                  self._constant(f"{name}_zero", np.zeros(len(scales), np.int8))]  # fmt: skip
        output = node.output[0]
        if bias is not None:
            [total] = self._users[output]
            self._folded.add(total.output[0])
            inputs, output = [*inputs, bias], total.output[0]
        self._nodes.append(
            helper.make_node("MatMulIntegerToFloat", inputs, [output], name=node.name, domain=MICROSOFT)
        )

    def _entered(self, name: str) -> list[str]:
        """What enters products, in uint8; made once."""
        if name not in self._levels:
            span = self._spans[name]
            scale, zero = span.levels
            levels = [self._constant(f"{name}_scale", scale), self._constant(f"{name}_zero", zero)]
            narrow = self._constant(f"{name}_narrow", (1.0 / span.widths).astype(np.float32))
            self._nodes += [
                helper.make_node("Mul", [name, narrow], [f"{name}_narrowed"]),
                helper.make_node("QuantizeLinear", [f"{name}_narrowed", *levels], [f"{name}_uint8"]),
            ]
            self._levels[name] = [f"{name}_uint8", *levels]
        return self._levels[name]

    def _bias(self, node: NodeProto) -> str | None:
        """What alone is added to a product, and nothing else reads it."""
        users = self._users[node.output[0]]
        if len(users) != 1 or users[0].op_type != "Add":
            return None
        width = self._weights[node.input[1]].shape[1:]
        return next(
            (x for x in users[0].input if x in self._weights and self._weights[x].shape == width), None
        )

    def _looked_up(self, node: NodeProto) -> None:
        """Rows of a table, which is kept in fp16."""
        table, row = node.input[0], f"{node.output[0]}_half"
        half = self._constant(f"{table}_half", self._weights[table].astype(np.float16))
        self._nodes += [
            helper.make_node("Gather", [half, *node.input[1:]], [row], name=node.name),
            helper.make_node("Cast", [row], list(node.output), to=TensorProto.FLOAT),
        ]

    def _floats(self, name: str) -> bool:
        return self._weights[name].dtype == np.float32

    def _constant(self, name: str, values: Any) -> str:
        self._constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name
