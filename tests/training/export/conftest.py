"""Bundles that may be spoilt."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from model_store.bundle import Bundle
from training.predict import Represented, represent

Spoil = Callable[[Path, str, Callable[[np.ndarray], np.ndarray]], None]


@pytest.fixture
def copy(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "copy"))


@pytest.fixture
def loose(copy: Path, opened: Bundle) -> Bundle:
    """The copy under the manifest of the original: whatever is done to its files, nobody checks hashes."""
    return Bundle(copy, opened.manifest)


@pytest.fixture
def spoil() -> Spoil:
    """Change the weights of a graph whose name ends in something."""

    def change(path: Path, ending: str, how: Callable[[np.ndarray], np.ndarray]) -> None:
        model = onnx.load(path)
        ways = [each.g for node in model.graph.node if node.op_type == "If" for each in node.attribute]
        ends = tuple(f"{ending}{way}" for way in ("", "_plain", "_padded"))
        found = [
            one for graph in (model.graph, *ways) for one in graph.initializer if one.name.endswith(ends)
        ]
        assert found, f"{path.name} has no weight {ending}"
        for weight in found:
            values = numpy_helper.to_array(weight)
            weight.CopyFrom(numpy_helper.from_array(how(values.copy()).astype(values.dtype), weight.name))
        onnx.save(model, path)

    return change


@pytest.fixture(scope="session")
def ways(opened: Bundle) -> dict[str, onnx.GraphProto]:
    """The two ways through the int8 graph, each with all weights that it reads, under their plain names."""
    model = onnx.load(opened.path("text_encoder.int8.onnx"))
    [both] = [node for node in model.graph.node if node.op_type == "If"]
    found = {}
    for branch in both.attribute:
        branch.g.initializer.extend(model.graph.initializer)
        for node in branch.g.node:
            for names in (node.input, node.output):
                names[:] = [name.removesuffix(f"_{branch.g.name}") for name in names]
        for one in (*branch.g.initializer, *branch.g.output):
            one.name = one.name.removesuffix(f"_{branch.g.name}")
        found[branch.g.name] = branch.g
    return found


@pytest.fixture(scope="session")
def base(bench) -> Represented:
    """All texts by torch."""
    return represent(bench.network, bench.dataset, bench.texts)
