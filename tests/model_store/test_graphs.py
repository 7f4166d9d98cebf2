import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from model_store.bundle import Bundle
from model_store.engine import Engine
from model_store.features import FeatureSet
from model_store.gather import ROWS
from model_store.scorer import Scorer
from tests.model_store.asked import Request, close, reference


@pytest.fixture(scope="module")
def opened(bundle: Path) -> Bundle:
    return Bundle.open(bundle)


def early(path: Path, features: FeatureSet) -> None:
    """Make a graph read what those of earlier bundles did: the parts of the context, a row a candidate or one."""
    model = onnx.load(path)
    graph, widths = model.graph, {"own": len(features.own), "shared": len(features.shared)}
    kept = [node for node in graph.input if node.name not in ("context", "whose")]
    parts = [helper.make_tensor_value_info(*one) for one in (
        ("own", TensorProto.FLOAT, ["rows", widths["own"]]), ("shared", TensorProto.FLOAT, ["m", widths["shared"]]),
    )]  # fmt: skip
    numbers = {"zero": 0, "one": 1, "shared_width": [widths["shared"]]}
    graph.initializer.extend(
        numpy_helper.from_array(np.array(number, dtype=np.int64), name) for name, number in numbers.items()
    )
    told = [
        helper.make_node("Shape", ["items"], ["size"], end=1),
        helper.make_node("Concat", ["size", "shared_width"], ["shape"], axis=0),
        helper.make_node("Expand", ["shared", "shape"], ["spread"]),
        helper.make_node("Concat", ["spread", "own"], ["context"], axis=1),
        helper.make_node("Shape", ["user"], ["askers_size"], end=1),
        helper.make_node("Squeeze", ["askers_size"], ["askers_number"]),
        helper.make_node("Range", ["zero", "askers_number", "one"], ["whose"]),
    ]
    nodes = [*told, *graph.node]
    del graph.input[:], graph.node[:]
    graph.input.extend([*kept, *parts])
    graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def test_the_graphs_of_earlier_bundles_are_still_served(opened, tmp_path):
    engine = Engine(opened, "cpu")
    loose = Bundle(Path(shutil.copytree(opened.folder, tmp_path / "copy")), opened.manifest)
    for name in ("scorer.onnx", "scorer.query.onnx"):
        early(loose.folder / name, engine.features)
    scorer, before = (Scorer(each, engine.features, compiled=False) for each in (opened, loose))
    parts = opened.items.parts
    given = [Request(opened, engine, size, seed=size, query=size % 2 == 0) for size in (1, 2, 60, ROWS + 5)]
    owners = np.repeat(np.arange(len(given)), [len(one.places) for one in given])
    places, own = (np.concatenate([getattr(one, name) for one in given]) for name in ("places", "own"))
    sides = [one.side for one in given]
    found, expected = (each.pairs(sides, owners, parts, places, own=own) for each in (before, scorer))
    close(found, expected)
    alone = before.scores(sides[-1], parts, given[-1].places, given[-1].own)
    close(alone, reference(engine, scorer, given[-1]))
