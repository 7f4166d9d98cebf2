"""The heads as numbers, for the kernel that serves them: scorer.npz, and scorer.links.onnx for what comes last.

scorer.links.onnx   logits (n, W) -> outputs (n, W): sigmoids, softmaxes, calibration, units

scorer.npz holds matrices (in, out) and rows (out,), named as model_store/kernel.py reads them. The columns of the
first layer are those of blocks.py: the experts, then the rest. Columns of logits stand in the order of the tasks.
"""

import json
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from model_store.kernel import LINKS, WEIGHTS
from model_store.manifest import Task
from model_store.moment import Ints
from training.export.blocks import Blocks, Matrix, array, bias, layers, weight
from training.export.scorer import QUERIES, USERS
from training.export.sheet import Sheet
from training.export.towers import Towers, ordered
from training.model.heads import KINDS, PairHeads
from training.model.readout import Readout
from training.model.towers import TOWER

CONTEXTS = ("pair",)  # the kinds of tasks that see it


def export(heads: PairHeads, readout: Readout, folder: Path, *, own: Ints, opset: int) -> None:
    """Write both; own: the columns of the context that differ by candidate.

    Nothing where experts stand in levels: the kernel knows one, and graphs serve.
    """
    if heads.mix.levels:
        return
    tasks = ordered(heads.tasks, readout)
    sheet = Sheet(opset)
    towers = Towers(heads, readout, tasks, sheet)
    width = sum(task.width for task in tasks)
    sheet.output("outputs", towers.linked(tasks, sheet.input("logits", "rows", width)), width)
    sheet.save(folder / LINKS, {"tasks": json.dumps([task.name for task in tasks])})
    blocks = Blocks(heads, tasks)
    found = {
        **_shapes(heads, tasks),
        **_first(blocks),
        **_context(heads, blocks, own),
        **_last(towers, heads, blocks),
    }
    np.savez(folder / WEIGHTS, allow_pickle=False, **found)


def _shapes(heads: PairHeads, tasks: Sequence[Task]) -> dict[str, Matrix]:
    """Which kind each task is of (T,), and the experts that it sees (T, C)."""
    return {
        "kinds": np.array([KINDS.index(task.inputs) for task in tasks]),
        "seen": np.array([heads.mix.seen[task.name] for task in tasks]),
        "hidden": np.array(heads.mix.hidden),
    }


def _first(blocks: Blocks) -> dict[str, Matrix]:
    """What a user and a query, and the items beside them, add to the first layer."""
    sides = {
        "user": (0, USERS, blocks.user, blocks.user_item, blocks.with_user),
        "query": (1, QUERIES, blocks.query, blocks.query_item, blocks.with_query),
    }
    found = {}
    for name, (side, kinds, alone, crossed, row) in sides.items():
        found[name] = _whole(blocks, alone, kinds)
        found[f"item_{name}"] = _whole(blocks, crossed, kinds, side)
        found[f"{name}_row"] = _whole(blocks, row, kinds)[0]
    return found


def _context(heads: PairHeads, blocks: Blocks, own: Ints) -> dict[str, Matrix]:
    """What the context adds to the first layer and to the tower of now, columns that candidates share apart."""
    first, second = layers(heads.now)
    shared = np.setdiff1d(np.arange(len(heads.mean)), own)
    whole, now = _whole(blocks, blocks.context, CONTEXTS), weight(first)
    found = {"now_row": bias(first), "now_second": weight(second)}
    for name, columns in (("shared", shared), ("own", np.sort(own))):
        found[f"{name}_mean"] = array(heads.mean)[columns]
        found[f"{name}_inverse"] = 1.0 / array(heads.spread)[columns]
        found[f"{name}_first"], found[f"{name}_now"] = whole[columns], now[columns]
    return found


def _last(towers: Towers, heads: PairHeads, blocks: Blocks) -> dict[str, Matrix]:
    """The hidden layer of each tower and of now's, and from them and the rest to logits."""
    tasks = blocks.tasks
    firsts = [layers(heads.mix.towers[task.name])[0] for task in tasks]
    hidden, dots = np.split(towers.last(tasks), [TOWER * len(tasks)])
    now, gates = np.zeros((TOWER, hidden.shape[1])), np.zeros((blocks.gates * len(tasks), hidden.shape[1]))
    if told := [task for task in tasks if task.name in heads.told]:
        now[:, : sum(task.width for task in told)] = towers.told(told)  # their columns are the first
    return {
        "towers": np.stack([weight(first) for first in firsts]),
        "tower_rows": np.concatenate([*map(bias, firsts), bias(layers(heads.now)[1])]),
        "last": np.concatenate([hidden, now, gates, dots]),
        "last_row": np.concatenate([towers.offset(task) for task in tasks]),
    }


def _whole(blocks: Blocks, weights: Matrix, kinds: Collection[str], side: int | None = None) -> Matrix:
    """The experts' columns, then the rest."""
    return np.concatenate([blocks.experts(weights), blocks.rest(weights, kinds, side)], axis=1)
