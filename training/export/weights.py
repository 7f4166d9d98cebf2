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
from training.export.sheet import Sheet
from training.export.towers import Towers, dotted, ordered
from training.model.heads import KINDS, TOWER, PairHeads
from training.model.readout import Readout

USERS, QUERIES, CONTEXTS = ("pair", "user_item"), ("pair", "query_item"), ("pair",)  # the kinds that see one


def export(heads: PairHeads, readout: Readout, folder: Path, *, own: Ints, opset: int) -> None:
    """Write both; own: the columns of the context that differ by candidate."""
    tasks = ordered(heads.tasks, readout)
    sheet = Sheet(opset)
    towers = Towers(heads, readout, tasks, sheet)
    width = sum(task.width for task in tasks)
    sheet.output("outputs", towers.linked(tasks, sheet.input("logits", "rows", width)), width)
    sheet.save(folder / LINKS, {"tasks": json.dumps([task.name for task in tasks])})
    found = {
        **_shapes(heads, tasks),
        **_first(heads, tasks),
        **_context(heads, tasks, own),
        **_last(towers, heads, tasks),
    }
    np.savez(folder / WEIGHTS, allow_pickle=False, **found)


def _shapes(heads: PairHeads, tasks: Sequence[Task]) -> dict[str, Matrix]:
    """Which kind each task is of (T,), and the experts that it sees (T, C)."""
    return {
        "kinds": np.array([KINDS.index(task.inputs) for task in tasks]),
        "seen": np.array([heads.mix.seen[task.name] for task in tasks]),
        "hidden": np.array(heads.mix.hidden),
    }


def _first(heads: PairHeads, tasks: Sequence[Task]) -> dict[str, Matrix]:
    """What a user and a query, and the items beside them, add to the first layer."""
    blocks = Blocks(heads, tasks)
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


def _context(heads: PairHeads, tasks: Sequence[Task], own: Ints) -> dict[str, Matrix]:
    """What the context adds to the first layer and to the tower of now, columns that candidates share apart."""
    first, second = layers(heads.now)
    shared = np.setdiff1d(np.arange(len(heads.mean)), own)
    blocks = Blocks(heads, tasks)
    whole, now = _whole(blocks, blocks.context, CONTEXTS), weight(first)
    found = {"now_row": bias(first), "now_second": weight(second)}
    for name, columns in (("shared", shared), ("own", np.sort(own))):
        found[f"{name}_mean"] = array(heads.mean)[columns]
        found[f"{name}_inverse"] = 1.0 / array(heads.spread)[columns]
        found[f"{name}_first"], found[f"{name}_now"] = whole[columns], now[columns]
    return found


def _last(towers: Towers, heads: PairHeads, tasks: Sequence[Task]) -> dict[str, Matrix]:
    """The hidden layer of each tower and of now's, and from them and the rest to logits."""
    firsts = [layers(heads.mix.towers[task.name])[0] for task in tasks]
    blocks = Blocks(heads, tasks)
    gates = blocks.gates * len(tasks)
    last = np.zeros(
        (TOWER * (len(tasks) + 1) + gates + len(blocks.dotted), sum(task.width for task in tasks))
    )
    begin, dot = 0, TOWER * (len(tasks) + 1) + gates
    for place, task in enumerate(tasks):
        columns, scale = slice(begin, begin + task.width), towers.scale(task)
        last[TOWER * place : TOWER * (place + 1), columns] = scale * weight(
            layers(heads.mix.towers[task.name])[1]
        )
        if task.name in heads.told:
            last[TOWER * len(tasks) : TOWER * (len(tasks) + 1), columns] = scale * weight(
                heads.told[task.name]
            )
        if dotted(task):
            last[dot, columns] = scale
            dot += 1
        begin = columns.stop
    return {
        "towers": np.stack([weight(first) for first in firsts]),
        "tower_rows": np.concatenate([*map(bias, firsts), bias(layers(heads.now)[1])]),
        "last": last,
        "last_row": np.concatenate([towers.offset(task) for task in tasks]),
    }


def _whole(blocks: Blocks, weights: Matrix, kinds: Collection[str], side: int | None = None) -> Matrix:
    """The experts' columns, then the rest."""
    return np.concatenate([blocks.experts(weights), blocks.rest(weights, kinds, side)], axis=1)
