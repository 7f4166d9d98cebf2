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
        found = [weight for weight in model.graph.initializer if weight.name.endswith(ending)]
        assert found, f"{path.name} has no weight {ending}"
        for weight in found:
            values = numpy_helper.to_array(weight)
            weight.CopyFrom(numpy_helper.from_array(how(values.copy()).astype(values.dtype), weight.name))
        onnx.save(model, path)

    return change


@pytest.fixture(scope="session")
def base(bench) -> Represented:
    """All texts by torch."""
    return represent(bench.network, bench.dataset, bench.texts)
