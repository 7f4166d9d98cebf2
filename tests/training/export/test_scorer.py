"""The scorer's graphs against the heads as torch computes them, for heads whose every parameter matters."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from model_store.engine import CPU
from tests.training.drawn import OWN, ROWS, SHARINGS, TASKS, F, made, unit
from training.export import scorer
from training.export.graphs import OPSET
from training.model.heads import KINDS, PairHeads
from training.model.readout import Readout


def run(path: Path, given: dict[str, torch.Tensor]) -> tuple[dict[str, np.ndarray], list[str]]:
    session = onnxruntime.InferenceSession(path, providers=[CPU])
    feeds = {node.name: given[node.name].numpy() for node in session.get_inputs()}
    values = session.run(None, feeds)
    order = json.loads(session.get_modelmeta().custom_metadata_map["tasks"])
    return dict(zip([node.name for node in session.get_outputs()], values, strict=True)), order


def compare(
    folder: Path, heads: PairHeads, readout: Readout, *, own=OWN["some"], query=True, askers=1
) -> None:
    """Export, run, and hold each task against the readout of the unfolded layer."""
    scorer.export(heads, readout, folder, own=own, opset=OPSET)
    width = heads.width
    user, items = unit(askers, width), unit(ROWS, width)
    asked = unit(askers, width) if query else torch.zeros(askers, width)
    context = torch.randn(ROWS, F) * 4.0  # some of it beyond what training saw
    shared = np.setdiff1d(np.arange(F), own)
    whose = torch.arange(ROWS) % askers
    context[:, shared] = context[whose][:, shared]
    stored, _ = run(folder / "scorer.items.onnx", {"items": items})
    given = {name: torch.from_numpy(value) for name, value in stored.items()} | {
        "items": items, "user": user, "query": asked,
        "context": torch.cat([context[:, shared], context[:, own]], dim=1),
        "whose": whose if askers > 1 else whose[:1],
    }  # fmt: skip
    found, order = run(folder / ("scorer.query.onnx" if query else "scorer.onnx"), given)
    rows = (user[whose], asked[whose], items[:, None], context[:, None])
    logits = heads(*rows)
    widths = {task.name: task.width for task in heads.tasks}
    assert sorted(order) == sorted(widths)
    begin = 0
    for name in order:
        part = found["outputs"][:, begin : begin + widths[name]]
        expected = readout(name, logits[name][:, 0]).numpy()
        np.testing.assert_allclose(part, expected, rtol=2e-5, atol=2e-5, err_msg=name)
        begin += widths[name]
    assert begin == found["outputs"].shape[1]


@pytest.mark.parametrize("query", [True, False])
@pytest.mark.parametrize("model", SHARINGS)
@torch.no_grad()
def test_every_kind_and_type_of_task_is_what_torch_computes(tmp_path, model, query):
    compare(tmp_path, *made(**model), query=query)


@pytest.mark.parametrize("sharing", ["mmoe", "alone", "ple"])
@pytest.mark.parametrize("query", [True, False])
@pytest.mark.parametrize("kinds", [KINDS[:1], KINDS[1:2], KINDS[2:], KINDS[:2], KINDS[1:], KINDS[::2]])
@torch.no_grad()
def test_kinds_that_no_task_is_of_are_not_missed(tmp_path, kinds, query, sharing):
    tasks = [task for task in TASKS if task.inputs in kinds]
    compare(tmp_path, *made(tasks, sharing=sharing), query=query)


@pytest.mark.parametrize("query", [True, False])
@pytest.mark.parametrize("own", list(OWN))
@torch.no_grad()
def test_columns_of_the_context_may_be_shared_own_or_both(tmp_path, own, query):
    compare(tmp_path, *made(), own=OWN[own], query=query)


@pytest.mark.parametrize("query", [True, False])
@pytest.mark.parametrize("own", list(OWN))
@pytest.mark.parametrize("askers", [2, ROWS])
@torch.no_grad()
def test_several_may_ask_at_once(tmp_path, own, query, askers):
    compare(tmp_path, *made(), own=OWN[own], query=query, askers=askers)


@pytest.mark.parametrize(
    "name", [f"pair_{name}" for name in ("chance", "classes", "levels", "grown", "value")]
)
@torch.no_grad()
def test_a_task_may_be_the_only_one(tmp_path, name):
    compare(tmp_path, *made([task for task in TASKS if task.name == name]))


@torch.no_grad()
def test_a_gate_that_is_sure_overflows_nothing(tmp_path):
    heads, readout = made()
    sure = heads.mix.experts * heads.mix.hidden + 1
    heads.item.weight[sure :: heads.mix.experts] *= 500.0
    compare(tmp_path, heads, readout)
