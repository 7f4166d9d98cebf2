"""The scorer, by graphs and by the kernel, against torch, for heads whose every parameter matters."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from model_store import kernel
from model_store.engine import CPU
from model_store.graphs import PARTS, told
from tests.training.drawn import OWN, ROWS, SHARINGS, TASKS, F, made, unit
from training.export import scorer, weights
from training.export.graphs import OPSET
from training.model.heads import KINDS, PairHeads
from training.model.readout import Readout

LEVELS = [{"sharing": "ple", "levels": levels} for levels in (1, 2, 3)]


def opened(path: Path) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(path, providers=[CPU])


def by_graph(folder: Path, given: dict[str, np.ndarray]) -> tuple[np.ndarray, list[str]]:
    graph = opened(folder / ("scorer.query.onnx" if "query" in given else "scorer.onnx"))
    context = np.concatenate([given["shared"][given["whose"]], given["own"]], axis=1)
    every = {
        **given,
        "context": context,
        "whose": given["whose"] if len(given["user"]) > 1 else given["whose"][:1],
    }
    outputs = graph.run(None, {node.name: every[node.name] for node in graph.get_inputs()})[0]
    return outputs, told(graph)


def by_kernel(folder: Path, given: dict[str, np.ndarray], *, plain: bool) -> tuple[np.ndarray, list[str]]:
    with np.load(folder / kernel.WEIGHTS) as arrays:
        made = kernel.Kernel(arrays, opened(folder / kernel.LINKS), plain=plain)
    askers = {name: given[name] for name in ("user", "shared", "query") if name in given}
    owners = given["whose"] if len(given["user"]) > 1 else None
    tables = [given.get(name, np.zeros((ROWS, 0), np.float32)) for name in PARTS]
    (order,) = made.orders
    return made.outputs(askers, owners, tables, np.arange(ROWS), own=given["own"]), order


def compare(
    folder: Path, heads: PairHeads, readout: Readout, *, own=OWN["some"], query=True, askers=1
) -> None:
    """Export, run by all that there is, and hold each task against the readout of the unfolded layer."""
    for served in (scorer, weights):
        served.export(heads, readout, folder, own=own, opset=OPSET)
    user, items = unit(askers, heads.width), unit(ROWS, heads.width)
    asked = unit(askers, heads.width) if query else torch.zeros(askers, heads.width)
    context = torch.randn(ROWS, F) * 4.0  # some of it beyond what training saw
    shared = np.setdiff1d(np.arange(F), own)
    whose = torch.arange(ROWS) % askers
    context[:, shared] = context[whose][:, shared]
    stored = opened(folder / "scorer.items.onnx")
    constant = dict(
        zip(
            [node.name for node in stored.get_outputs()],
            stored.run(None, {"items": items.numpy()}),
            strict=True,
        )
    )
    given = {
        **constant, "items": items.numpy(), "user": user.numpy(), "whose": whose.numpy(),
        "shared": context[:askers, shared].numpy(), "own": context[:, own].numpy(),
    } | ({"query": asked.numpy()} if query else {})  # fmt: skip
    logits = heads(user[whose], asked[whose], items[:, None], context[:, None])
    answers = [by_graph(folder, given)]
    assert (folder / kernel.WEIGHTS).exists() == (folder / kernel.LINKS).exists() == (not heads.mix.levels)
    if kernel._kernel is not None and not heads.mix.levels:  # there is a compiler here; the kernel knows one
        answers += [by_kernel(folder, given, plain=plain) for plain in (False, True)]
    for found, order in answers:
        assert sorted(order) == sorted(task.name for task in heads.tasks)
        expected = [readout(name, logits[name][:, 0]).numpy() for name in order]
        np.testing.assert_allclose(found, np.concatenate(expected, axis=1), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("query", [True, False])
@pytest.mark.parametrize("model", SHARINGS)
@torch.no_grad()
def test_every_kind_and_type_of_task_is_what_torch_computes(tmp_path, model, query):
    compare(tmp_path, *made(**model), query=query)


@pytest.mark.parametrize("model", [{"sharing": "mmoe"}, {"sharing": "alone"}, *LEVELS])
@pytest.mark.parametrize("query", [True, False])
@pytest.mark.parametrize("kinds", [KINDS[:1], KINDS[1:2], KINDS[2:], KINDS[:2], KINDS[1:], KINDS[::2]])
@torch.no_grad()
def test_kinds_that_no_task_is_of_are_not_missed(tmp_path, kinds, query, model):
    tasks = [task for task in TASKS if task.inputs in kinds]
    compare(tmp_path, *made(tasks, **model), query=query)


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


@pytest.mark.parametrize("query", [True, False])
@pytest.mark.parametrize("model", LEVELS)
@torch.no_grad()
def test_several_may_ask_heads_with_levels(tmp_path, model, query):
    compare(tmp_path, *made(**model), query=query, askers=4)


@pytest.mark.parametrize(
    "name", [f"pair_{name}" for name in ("chance", "classes", "levels", "grown", "value")]
)
@pytest.mark.parametrize("model", [{}, {"sharing": "ple", "levels": 2}])
@torch.no_grad()
def test_a_task_may_be_the_only_one(tmp_path, name, model):
    compare(tmp_path, *made([task for task in TASKS if task.name == name], **model))


@torch.no_grad()
def test_a_gate_that_is_sure_overflows_nothing(tmp_path):
    heads, readout = made()
    sure = heads.mix.experts * heads.mix.hidden + 1
    heads.item.weight[sure :: heads.mix.experts] *= 500.0
    compare(tmp_path, heads, readout)
