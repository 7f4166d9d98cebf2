"""An ONNX graph put together node by node, where the exporter's own would be slower."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

IR = 9  # of the file: as old as the operators allow, so that older runtimes read it


class Sheet:
    """Nodes, constants, inputs and outputs; values are named by their nodes."""

    def __init__(self, opset: int) -> None:
        self._opset = opset
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def input(self, name: str, rows: str, width: int) -> str:
        """A float32 input (rows, width)."""
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows, width]))
        return name

    def numbers(self, name: str, rows: str) -> str:
        """An int64 input (rows,)."""
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.INT64, [rows]))
        return name

    def output(self, name: str, value: str, width: int) -> None:
        """A value as an output (rows, width)."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", width]))

    def constant(self, values: Any) -> str:
        """Whole numbers as int64, all else as float32."""
        array = np.asarray(values)
        kind = np.int64 if array.dtype.kind == "i" else np.float32
        name = f"constant_{len(self._constants)}"
        told = numpy_helper.from_array(np.ascontiguousarray(array, dtype=kind), name)
        self._constants.append(told)
        return name

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """The value of an operator that has one."""
        return self.nodes(operator, *inputs, count=1, **attributes)[0]

    def nodes(self, operator: str, *inputs: str, count: int, **attributes: Any) -> list[str]:
        """The values of an operator that has several."""
        number = len(self._nodes)
        names = [f"{operator.lower()}_{number}_{place}" for place in range(count)]
        self._nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names

    def affine(self, value: str, weight: NDArray[np.float64], added: str) -> str:
        """value (rows, in) times weight (in, out), and `added`, which may be one row for all."""
        return self.node("Gemm", value, self.constant(weight), added)

    def split(self, value: str, widths: Sequence[int]) -> list[str]:
        """Columns side by side, taken apart."""
        if len(widths) == 1:
            return [value]
        return self.nodes("Split", value, self.constant(list(widths)), count=len(widths), axis=1)

    def joined(self, values: Sequence[str]) -> str:
        """Columns put side by side."""
        return values[0] if len(values) == 1 else self.node("Concat", *values, axis=1)

    def reshaped(self, value: str, *shape: int) -> str:
        """(rows, ...) with other axes behind the rows."""
        return self.node("Reshape", value, self.constant([-1, *shape]))

    def ordered(self, value: str, width: int) -> str:
        """The columns of each row, ascending."""
        if width == 1:
            return value
        return self.nodes("TopK", value, self.constant([width]), count=2, axis=-1, largest=0)[0]

    def save(self, path: Path, told: Mapping[str, str]) -> None:
        """Check the graph and write it, with a few words beside it."""
        graph = helper.make_graph(self._nodes, path.stem, self._inputs, self._outputs, self._constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self._opset)], ir_version=IR)
        helper.set_model_props(model, dict(told))
        onnx.checker.check_model(model, full_check=True)
        path.write_bytes(model.SerializeToString())
