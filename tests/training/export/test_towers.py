"""What stands where; test_scorer.py holds the numbers against torch."""

import onnx
import pytest
import torch

from model_store.manifest import Task
from tests.training import toy
from training.export.graphs import OPSET
from training.export.sheet import Sheet
from training.export.towers import Towers, link
from training.model.heads import PairHeads
from training.model.readout import Readout
from training.task import TaskConfig

TASKS = tuple(Task(name=name, type="binary") for name in ("click", "buy", "like"))


def drawn(tmp_path, sharing, tasks=TASKS):
    """How often each operator stands in the graph from the first layer to the answers."""
    model = toy.settings(model={"sharing": sharing, "experts": 3}).model
    heads, sheet = PairHeads(tasks, model, 5).eval(), Sheet(OPSET)
    readout = Readout(tasks, {task.name: TaskConfig(type="binary", label="any") for task in tasks})
    gates = 2 * len(tasks) if heads.mix.gated else 0
    inputs = {"experts": heads.mix.experts * heads.mix.hidden, "rest": gates + len(tasks), "now": 32}
    experts, rest, now = (sheet.input(name, "rows", width) for name, width in inputs.items())
    answers = Towers(heads, readout, tasks, sheet).answers({"pair": experts}, rest, now)
    sheet.output("answers", answers, len(tasks))
    sheet.save(tmp_path / "towers.onnx", {})
    nodes = [node.op_type for node in onnx.load(tmp_path / "towers.onnx").graph.node]
    return {name: nodes.count(name) for name in set(nodes)}


def test_all_gates_are_one_softmax_and_all_mixtures_one_product(tmp_path):
    found = drawn(tmp_path, "mmoe")
    assert (found["Exp"], found["Div"], found["MatMul"]) == (1, 1, 1)


def test_towers_that_read_the_same_are_one_product(tmp_path):
    gated, shared = drawn(tmp_path, "mmoe"), drawn(tmp_path, "shared_bottom")
    assert gated["Relu"] == 1 + len(TASKS)
    assert shared["Relu"] == 2


def test_tasks_with_one_link_are_answered_at_once(tmp_path):
    assert drawn(tmp_path, "mmoe")["Sigmoid"] == 1


@pytest.mark.parametrize(("type_", "transform", "alone"), [
    ("binary", "none", False), ("regression", "none", False), ("regression", "log1p", False),
    ("multiclass", "none", True), ("quantile", "none", True),
])  # fmt: skip
@torch.no_grad()
def test_classes_and_quantiles_are_answered_one_by_one(type_, transform, alone):
    told = {"classes": ("a", "b")} if type_ == "multiclass" else {}
    one, other = (Task(name=name, type=type_, **told) for name in ("one", "other"))
    config = TaskConfig(type=type_, label="any", transform=transform)
    readout = Readout((one, other), {"one": config, "other": config})
    assert (link(one, readout) != link(other, readout)) == alone
