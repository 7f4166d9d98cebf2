"""The heads once more, laid out for speed: the function of heads.onnx in three graphs of few, large products.

scorer.items.onnx   items -> experts (n, E · hidden), rest (n, R), silent (n, Wq)       what is constant for an item
scorer.onnx         experts, rest, silent, items, own, shared, user -> outputs (n, W)   where there is no query
scorer.query.onnx   experts, rest, items, own, shared, user, query -> outputs (n, W)

items (n, d), own (n, Fo): columns of the context that differ by candidate; shared (m, Fs): those that do not; user,
query (m, d). m is n, or 1 where all candidates share them. An input that nothing reads is left out. `silent` are the
answers of the tasks that see query and item where there is no query; blocks.py says what experts and rest are.
"""

import json
from collections.abc import Collection
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_store.moment import Ints
from training.export.blocks import Blocks, Matrix, array, bias, layers, weight
from training.export.sheet import Sheet
from training.export.towers import Towers, link
from training.model.heads import KINDS, OUTLIER, PairHeads
from training.model.readout import Readout

USERS, QUERIES = ("pair", "user_item"), ("pair", "query_item")  # the kinds of tasks that see one


def export(heads: PairHeads, readout: Readout, folder: Path, *, own: Ints, opset: int) -> None:
    """Write the three graphs; own: the columns of the context that differ by candidate."""
    items, plain, asked = (Drawing(heads, readout, own, Sheet(opset)) for _ in range(3))
    items.items()
    items.save(folder / "scorer.items.onnx")
    plain.scores(asked=False)
    plain.save(folder / "scorer.onnx")
    asked.scores(asked=True)
    asked.save(folder / "scorer.query.onnx")


class Drawing:
    """One of the graphs, being drawn."""

    def __init__(self, heads: PairHeads, readout: Readout, own: Ints, sheet: Sheet) -> None:
        self._heads, self._sheet = heads, sheet
        self._own = np.isin(np.arange(len(heads.mean)), own)
        self._tasks = sorted(heads.tasks, key=lambda task: (KINDS.index(task.inputs), link(task, readout)))
        self._blocks = Blocks(heads, self._tasks)
        self._towers = Towers(heads, readout, self._tasks, sheet)
        self._input, self._scaled, self._crossed, self._to_user, self._to_query = map(
            cache, (self._declared, self._standardised, self._product, self._user_item, self._query_item)
        )

    def save(self, path: Path) -> None:
        """Write the graph; beside it the tasks in the order of its columns."""
        self._sheet.save(path, {"tasks": json.dumps([task.name for task in self._tasks])})

    def items(self) -> None:
        """What is constant for an item."""
        blocks, sheet, items = self._blocks, self._sheet, self._input("items")
        both = sheet.joined([items, sheet.node("Mul", items, items)])
        weights = np.concatenate([blocks.item, blocks.item_item])
        constant = blocks.constant("query_item", asked=False)
        first = {}
        for part in ("experts", "rest"):
            stored = sheet.node("MatMul", both, sheet.constant(self._cut(part, weights, KINDS)))
            sheet.output(part, stored, self._widths[part])
            first[part] = sheet.node("Add", stored, sheet.constant(self._cut(part, constant, KINDS)))
        if "query_item" in self._heads.kinds:
            silent = self._towers.answers({"query_item": first["experts"]}, first["rest"], "")
            sheet.output("silent", silent, self._widths["silent"])

    def scores(self, *, asked: bool) -> None:
        """Every task of every candidate, with a query or without."""
        kinds = tuple(kind for kind in self._heads.kinds if asked or kind in USERS)
        answers = []
        if kinds:
            experts = {kind: self._first("experts", (kind,), asked) for kind in kinds}
            now = self._now() if "pair" in kinds else ""
            answers.append(self._towers.answers(experts, self._first("rest", kinds, asked), now))
        if "query_item" in self._heads.kinds and not asked:
            answers.append(self._input("silent"))
        self._sheet.output("outputs", self._sheet.joined(answers), self._widths["outputs"])

    def _first(self, part: str, kinds: tuple[str, ...], asked: bool) -> str:
        """A part of the first layer, as these kinds of tasks see it, (n, columns)."""
        sheet, blocks = self._sheet, self._blocks
        constants = [self._cut(part, blocks.constant(kind, asked=asked), (kind,)) for kind in kinds]
        row, value = sheet.constant(np.sum(constants, axis=0)), self._input(part)
        if set(USERS) & set(kinds):
            row = sheet.affine(self._input("user"), self._cut(part, blocks.user, USERS), row)
            value = self._to_user(part)
        if asked and set(QUERIES) & set(kinds):
            row = sheet.affine(self._input("query"), self._cut(part, blocks.query, QUERIES), row)
            value = sheet.node("Add", value, self._to_query(part))
        if "pair" not in kinds:
            return sheet.node("Add", value, row)
        weights = self._cut(part, blocks.context, ("pair",))
        value = sheet.node("Add", value, self._context("shared", weights, row))
        return self._context("own", weights, value)

    def _user_item(self, part: str) -> str:
        """What is stored of the items, and what they are to the user."""
        weights = self._cut(part, self._blocks.user_item, USERS, side=0)
        return self._sheet.affine(self._crossed("user"), weights, self._input(part))

    def _query_item(self, part: str) -> str:
        """What the items are to the query."""
        weights = self._cut(part, self._blocks.query_item, QUERIES, side=1)
        return self._sheet.node("MatMul", self._crossed("query"), self._sheet.constant(weights))

    def _product(self, name: str) -> str:
        return self._sheet.node("Mul", self._input("items"), self._input(name))

    def _cut(self, part: str, weights: Matrix, kinds: Collection[str], side: int | None = None) -> Matrix:
        return self._blocks.experts(weights) if part == "experts" else self._blocks.rest(weights, kinds, side)

    def _now(self) -> str:
        """The tower on the context alone, (n, TOWER), or (m, TOWER) if candidates have no columns of their own."""
        first, second = layers(self._heads.now)
        row = self._context("shared", weight(first), self._sheet.constant(bias(first)[None]))
        hidden = self._sheet.node("Relu", self._context("own", weight(first), row))
        last = self._sheet.constant(bias(second))
        return self._sheet.node("Relu", self._sheet.affine(hidden, weight(second), last))

    def _context(self, name: str, weights: Matrix, value: str) -> str:
        """A value, and what the own or the shared columns of the context add to it by weights (F, out)."""
        which = self._which(name)
        return self._sheet.affine(self._scaled(name), weights[which], value) if which.any() else value

    def _standardised(self, name: str) -> str:
        """Columns of the context as PairHeads reads them."""
        sheet, which = self._sheet, self._which(name)
        mean, spread = array(self._heads.mean)[which], array(self._heads.spread)[which]
        centred = sheet.node("Sub", self._input(name), sheet.constant(mean))
        scaled = sheet.node("Mul", centred, sheet.constant(1.0 / spread))
        return sheet.node("Clip", scaled, sheet.constant(-OUTLIER), sheet.constant(OUTLIER))

    def _which(self, name: str) -> NDArray[np.bool_]:
        return self._own if name == "own" else ~self._own

    def _declared(self, name: str) -> str:
        rows = "owners" if name in ("user", "query", "shared") else "rows"
        return self._sheet.input(name, rows, self._widths[name])

    @property
    def _widths(self) -> dict[str, int]:
        blocks, d, own = self._blocks, self._heads.width, int(self._own.sum())
        silent = sum(task.width for task in self._tasks if task.inputs == "query_item")
        return {
            "items": d, "user": d, "query": d, "own": own, "shared": len(self._own) - own, "silent": silent,
            "experts": blocks.width, "rest": blocks.gates * len(self._tasks) + len(blocks.dotted),
            "outputs": sum(task.width for task in self._tasks),
        }  # fmt: skip
