"""The heads once more, laid out for speed: the function of heads.onnx in three graphs of few, large products.

scorer.items.onnx   items -> experts (n, E · hidden), rest (n, R), silent (n, Wq)         what is constant for an item
scorer.onnx         experts, rest, silent, items, context, user, whose -> outputs (n, W)  where there is no query
scorer.query.onnx   experts, rest, items, context, user, query, whose -> outputs (n, W)

items (n, d); context (n, F): first the columns that an asker's candidates share, then those that differ; user, query
(m, d) of m askers; whose (n,): the asker of each candidate, or (1,) if all are one's. An input that nothing reads is
left out. `silent` are the answers of the tasks that see query and item where there is no query; blocks.py says what
experts and rest are.
"""

import json
from collections.abc import Collection
from functools import cache, partial
from pathlib import Path

import numpy as np

from model_store.moment import Ints
from training.export.blocks import Blocks, Matrix, array, bias, layers, weight
from training.export.sheet import Sheet
from training.export.towers import Towers, ordered
from training.model.heads import KINDS, OUTLIER, PairHeads
from training.model.readout import Readout

PARTS = ("experts", "rest")
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
        all_columns = np.arange(len(heads.mean))
        self._order = np.concatenate([np.setdiff1d(all_columns, own), np.sort(own)])
        self._tasks = ordered(heads.tasks, readout)
        self._blocks = Blocks(heads, self._tasks)
        self._towers = Towers(heads, readout, self._tasks, sheet)
        self._input, self._scaled = cache(self._declared), cache(self._standardised)

    def save(self, path: Path) -> None:
        """Write the graph; beside it the tasks in the order of its columns."""
        self._sheet.save(path, {"tasks": json.dumps([task.name for task in self._tasks])})

    def items(self) -> None:
        """What is constant for an item."""
        blocks, sheet, items = self._blocks, self._sheet, self._input("items")
        both = sheet.joined([items, sheet.node("Mul", items, items)])
        weights = np.concatenate([blocks.item, blocks.item_item])
        first = {}
        for part in PARTS:
            row = sheet.constant(self._cut(part, blocks.absent, KINDS))
            first[part] = sheet.affine(both, self._cut(part, weights, KINDS), row)
            sheet.output(part, first[part], self._widths[part])
        if "query_item" in self._heads.kinds:
            silent = self._towers.answers({"query_item": first["experts"]}, first["rest"], "")
            sheet.output("silent", silent, self._widths["silent"])

    def scores(self, *, asked: bool) -> None:
        """Every task of every candidate, with a query or without."""
        kinds = tuple(kind for kind in self._heads.kinds if asked or kind in USERS)
        answers = []
        if kinds:
            now = self._now() if "pair" in kinds else ""
            answers.append(self._towers.answers(*self._first(kinds, asked), now))
        if "query_item" in self._heads.kinds and not asked:
            answers.append(self._input("silent"))
        self._sheet.output("outputs", self._sheet.joined(answers), self._widths["outputs"])

    def _first(self, kinds: tuple[str, ...], asked: bool) -> tuple[dict[str, str], str]:
        """The first layer: the experts (n, E · hidden) that each kind of tasks sees, the rest (n, R) of all."""
        blocks, add = self._blocks, partial(self._sheet.node, "Add")
        user = self._side("user", USERS) if set(USERS) & set(kinds) else {}
        query = self._side("query", QUERIES) if asked and set(QUERIES) & set(kinds) else {}
        rest = self._input("rest")
        for side in filter(None, (user, query)):
            rest = add(rest, side["rest"])
        if "pair" in kinds:
            rest = self._context(self._cut("rest", blocks.context, ("pair",)), rest)
        stored, experts = self._input("experts"), {}
        known = add(stored, user["experts"]) if user else stored
        for kind in kinds:
            value = known if kind in USERS else stored
            value = add(value, query["experts"]) if query and kind in QUERIES else value
            experts[kind] = self._context(blocks.experts(blocks.context), value) if kind == "pair" else value
        return experts, rest

    def _side(self, name: str, kinds: tuple[str, ...]) -> dict[str, str]:
        """What a user or a query, and the items beside it, add to both parts of the first layer, (n, columns)."""
        blocks, sheet, given = self._blocks, self._sheet, self._input(name)
        side, alone, crossed, constant = {
            "user": (0, blocks.user, blocks.user_item, blocks.with_user),
            "query": (1, blocks.query, blocks.query_item, blocks.with_query),
        }[name]
        product = sheet.node("Mul", self._input("items"), self._each(given))
        both = [np.concatenate([self._cut(part, weights, kinds) for part in PARTS], axis=1)
                for weights in (alone, constant)]  # fmt: skip
        whole = sheet.affine(given, both[0], sheet.constant(both[1]))
        rows = sheet.split(whole, [self._widths[part] for part in PARTS])
        return {
            part: sheet.affine(product, self._cut(part, crossed, kinds, side), self._each(row))
            for part, row in zip(PARTS, rows, strict=True)
        }

    def _each(self, rows: str) -> str:
        """Of the rows (m, ·) of askers that of each candidate, (n, ·), or one for all."""
        return self._sheet.node("Gather", rows, self._input("whose"), axis=0)

    def _cut(self, part: str, weights: Matrix, kinds: Collection[str], side: int | None = None) -> Matrix:
        return self._blocks.experts(weights) if part == "experts" else self._blocks.rest(weights, kinds, side)

    def _now(self) -> str:
        """The tower on the context alone, (n, TOWER), or (1, TOWER) if there is no context."""
        first, second = layers(self._heads.now)
        hidden = self._context(weight(first), self._sheet.constant(bias(first)[None]))
        last = self._sheet.constant(bias(second))
        return self._sheet.node(
            "Relu", self._sheet.affine(self._sheet.node("Relu", hidden), weight(second), last)
        )

    def _context(self, weights: Matrix, value: str) -> str:
        """A value, and what the context adds to it by weights (F, out)."""
        return self._sheet.affine(self._scaled(), weights[self._order], value) if len(weights) else value

    def _standardised(self) -> str:
        """The context as PairHeads reads it."""
        sheet, order = self._sheet, self._order
        mean, spread = array(self._heads.mean)[order], array(self._heads.spread)[order]
        centred = sheet.node("Sub", self._input("context"), sheet.constant(mean))
        scaled = sheet.node("Mul", centred, sheet.constant(1.0 / spread))
        return sheet.node("Clip", scaled, sheet.constant(-OUTLIER), sheet.constant(OUTLIER))

    def _declared(self, name: str) -> str:
        if name == "whose":
            return self._sheet.numbers(name, "each")
        rows = "askers" if name in ("user", "query") else "rows"
        return self._sheet.input(name, rows, self._widths[name])

    @property
    def _widths(self) -> dict[str, int]:
        blocks, d = self._blocks, self._heads.width
        silent = sum(task.width for task in self._tasks if task.inputs == "query_item")
        return {
            "items": d, "user": d, "query": d, "context": len(self._order), "silent": silent,
            "experts": blocks.width, "rest": blocks.gates * len(self._tasks) + len(blocks.dotted),
            "outputs": sum(task.width for task in self._tasks),
        }  # fmt: skip
