"""From the first layer to answers, in the scorer's graphs: gates, towers, calibration, units.

Gates of all tasks are one softmax, towers that read the same are one product. What is affine after the last layer is
folded into it. Columns of answers stand in the order of the tasks, which is kind by kind and link by link.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby

import numpy as np
from scipy.linalg import block_diag

from model_store.manifest import Task
from training.export.blocks import Matrix, array, bias, layers, weight
from training.export.levels import Levels
from training.export.sheet import Sheet
from training.model.heads import CERTAIN, KINDS, PairHeads
from training.model.readout import Readout
from training.model.towers import TOWER

STEEP = 80.0  # how far a gate may be over the first one's: float32 knows no more


def link(task: Task, readout: Readout) -> str:
    """What is put on a task's scaled logits; tasks side by side that have the same are served at once."""
    if task.name in readout.grades:
        return f"6 grades {task.name}"
    if task.type == "regression":
        return "1 grown" if readout.log[task.name] else "2 value"
    if task.name in readout.given:
        return f"5 product {task.name}"
    alone = {"multiclass": f"3 classes {task.name}", "quantile": f"4 levels {task.name}"}
    return alone.get(task.type, "0 chance")


def ordered(tasks: Iterable[Task], readout: Readout) -> list[Task]:
    """In the order of their columns: kind by kind and link by link."""
    return sorted(tasks, key=lambda task: (KINDS.index(task.inputs), link(task, readout)))


class Towers:
    """All that comes after the first layer."""

    def __init__(self, heads: PairHeads, readout: Readout, tasks: Sequence[Task], sheet: Sheet) -> None:
        self._heads, self._readout, self._sheet = heads, readout, sheet
        self._groups = {kind: [task for task in tasks if task.inputs == kind] for kind in heads.kinds}
        self._experts, self._hidden = heads.mix.experts, heads.mix.hidden
        self._above = Levels(heads.mix, sheet) if heads.mix.levels else None

    def answers(self, experts: Mapping[str, str], rest: str, now: str) -> str:
        """What the tasks of some kinds answer, (n, W), from their experts, the rest of all and the tower of now."""
        gates, dots = self._parted(rest)
        answers = []
        for kind, value in experts.items():
            tasks = self._groups[kind]
            hidden = self._towers(tasks, self._inputs(tasks, value, gates.get(kind)))
            row = self._sheet.constant(np.concatenate([self.offset(task) for task in tasks]))
            if kind == "pair":
                row = self._sheet.affine(now, self.told(tasks), row)
            inputs = [*hidden, dots[kind]] if kind in dots else hidden
            answers.append(
                self.linked(tasks, self._sheet.affine(self._sheet.joined(inputs), self.last(tasks), row))
            )
        return self._sheet.joined(answers)

    def _parted(self, rest: str) -> tuple[dict[str, str], dict[str, str]]:
        """The gates' shares (n, T · E) and the dot products of each kind."""
        count = self._heads.mix.choices - 1 if self._heads.mix.gated and not self._above else 0
        sizes = {kind: len(tasks) for kind, tasks in self._groups.items()}
        widths = {kind: sum(map(dotted, tasks)) for kind, tasks in self._groups.items()}
        widths = {kind: width for kind, width in widths.items() if width}
        whole = [count * sum(sizes.values())] if count else []
        parts = self._sheet.split(rest, [*whole, *widths.values()]) if whole or widths else []
        dots = dict(zip(widths, parts[len(whole) :], strict=True))
        if not count:
            return {}, dots
        shares = self._shares(parts[0], [task for tasks in self._groups.values() for task in tasks])
        split = self._sheet.split(shares, [size * self._experts for size in sizes.values()])
        return dict(zip(sizes, split, strict=True)), dots

    def _inputs(self, tasks: Sequence[Task], experts: str, shares: str | None) -> list[str]:
        """What the towers of a kind's tasks read, (n, hidden) each, or one for all."""
        if self._above:
            return self._above.inputs(experts, [task.name for task in tasks])
        lit = self._sheet.node("Relu", experts)
        return self._mixed(lit, shares, len(tasks)) if shares else self._chosen(lit, tasks)

    def _shares(self, gates: str, tasks: Sequence[Task]) -> str:
        """The softmax of each task's gates (n, T · (V - 1)), that of the first expert it sees being zero: (n, T · E).

        It is 0 for experts that the task does not see.
        """
        sheet, others = self._sheet, self._heads.mix.choices - 1
        raised = sheet.node("Exp", sheet.node("Clip", gates, "", sheet.constant(STEEP)))
        seen = np.array([self._heads.mix.seen[task.name] for task in tasks])
        place = np.eye(self._experts)[seen]  # (T, V, E)
        own = block_diag(*place[:, 1:])
        whole = np.kron(np.eye(len(tasks)), np.ones((others, self._experts))).astype(np.float64)
        first = place[:, :1].reshape(1, -1)
        parts = sheet.affine(raised, own, sheet.constant(first))
        return sheet.node("Div", parts, sheet.affine(raised, whole, sheet.constant(np.ones_like(first))))

    def _chosen(self, experts: str, tasks: Sequence[Task]) -> list[str]:
        """The one expert (n, hidden) of each task, or the one of all."""
        if self._experts == 1:
            return [experts]
        parts = self._sheet.split(experts, [self._hidden] * self._experts)
        return [parts[self._heads.mix.seen[task.name][0]] for task in tasks]

    def _mixed(self, experts: str, shares: str, size: int) -> list[str]:
        """What the gates of each task let through, (n, hidden) each."""
        sheet = self._sheet
        shares = sheet.reshaped(shares, size, self._experts)
        mixed = sheet.node("MatMul", shares, sheet.reshaped(experts, self._experts, self._hidden))
        return sheet.split(sheet.reshaped(mixed, size * self._hidden), [self._hidden] * size)

    def _towers(self, tasks: Sequence[Task], inputs: Sequence[str]) -> list[str]:
        """The hidden layer of each tower; where all read the same, one product for all."""
        firsts = [layers(self._heads.mix.towers[task.name])[0] for task in tasks]
        weights, biases = list(map(weight, firsts)), list(map(bias, firsts))
        if len(inputs) < len(tasks):
            weights, biases = [np.concatenate(weights, axis=1)], [np.concatenate(biases)]
        sheet = self._sheet
        return [
            sheet.node("Relu", sheet.affine(value, by, sheet.constant(plus)))
            for value, by, plus in zip(inputs, weights, biases, strict=True)
        ]

    def last(self, tasks: Sequence[Task]) -> Matrix:
        """From all hidden layers and the dots to scaled logits."""
        found = np.zeros((TOWER * len(tasks) + sum(map(dotted, tasks)), sum(task.width for task in tasks)))
        begin, dots = 0, TOWER * len(tasks)
        for place, task in enumerate(tasks):
            columns, scale = slice(begin, begin + task.width), self.scale(task)
            last = layers(self._heads.mix.towers[task.name])[1]
            found[place * TOWER : (place + 1) * TOWER, columns] = scale * weight(last)
            if dotted(task):
                found[dots, columns] = scale
                dots += 1
            begin = columns.stop
        return found

    def told(self, tasks: Sequence[Task]) -> Matrix:
        """What the tower of now adds to them."""
        told = [self.scale(task) * weight(self._heads.told[task.name]) for task in tasks]
        return np.concatenate(told, axis=1)

    def offset(self, task: Task) -> Matrix:
        """What is added to a task's scaled logits."""
        plus = bias(layers(self._heads.mix.towers[task.name])[1])
        if task.name in self._heads.told:
            plus = plus + bias(self._heads.told[task.name])
        if task.type == "quantile":
            return np.asarray(plus + self._levels(task)[0])
        if task.name in self._readout.given:
            return plus
        return np.asarray(self.scale(task) * plus + self._calibration(task)[1])

    def linked(self, tasks: Sequence[Task], logits: str) -> str:
        """Scaled logits as they are served."""
        runs = [list(run) for _, run in groupby(tasks, key=lambda task: link(task, self._readout))]
        parts = self._sheet.split(logits, [sum(task.width for task in run) for run in runs])
        given = {
            name: self._product(tasks, name, logits)
            for task in tasks
            if (name := task.name) in self._readout.given
        }
        return self._sheet.joined(
            [self._served(run, given.get(run[0].name, part)) for run, part in zip(runs, parts, strict=True)]
        )

    def _product(self, tasks: Sequence[Task], name: str, logits: str) -> str:
        """Scaled log-odds (n, 1) of a task that is given another, from the logits of all."""
        sheet, by_name = self._sheet, {task.name: task for task in tasks}
        starts = dict(zip(by_name, np.cumsum([0, *(task.width for task in tasks)]).tolist(), strict=False))
        first = by_name[self._readout.given[name]]
        column = sheet.node("Gather", logits, sheet.constant([starts[first.name]]), axis=1)
        scale, shift = self._calibration(first)[:2]
        raw = sheet.node("Div", sheet.node("Sub", column, sheet.constant(shift)), sheet.constant(scale))
        own = sheet.node("Gather", logits, sheet.constant([starts[name]]), axis=1)
        chance = sheet.node("Mul", sheet.node("Sigmoid", own), sheet.node("Sigmoid", raw))
        chance = sheet.node("Clip", chance, *map(sheet.constant, CERTAIN))
        rest = sheet.node("Log", sheet.node("Sub", sheet.constant(1.0), chance))
        odds = sheet.node("Sub", sheet.node("Log", chance), rest)
        scale, shift = self._calibration(by_name[name])[:2]
        return sheet.node("Add", sheet.node("Mul", odds, sheet.constant(scale)), sheet.constant(shift))

    def _served(self, tasks: Sequence[Task], logits: str) -> str:
        sheet, first = self._sheet, tasks[0]
        if first.type in ("binary", "multilabel"):
            return sheet.node("Sigmoid", logits)
        if first.type == "multiclass":
            return sheet.node("Softmax", logits, axis=-1)
        if first.type == "quantile":
            logits = self._quantiles(first, logits)
        if self._readout.log[first.name]:
            logits = sheet.node("Sub", sheet.node("Exp", logits), sheet.constant(1.0))
        if first.name in self._readout.grades:
            logits = self._expected(first.name, logits)
        low, high = ([[self._calibration(task)[end] for task in tasks]] for end in (2, 3))
        if len(tasks) == 1:
            return sheet.node("Clip", logits, sheet.constant(low[0][0]), sheet.constant(high[0][0]))
        return sheet.node("Min", sheet.node("Max", logits, sheet.constant(low)), sheet.constant(high))

    def _expected(self, name: str, logits: str) -> str:
        """The expected grade (n, 1)."""
        sheet, grades = self._sheet, np.array(self._readout.grades[name])
        over = sheet.node("Sub", logits, sheet.constant(array(self._readout.cuts(name))[None]))
        gaps = np.diff(grades)[:, None]
        return sheet.affine(sheet.node("Sigmoid", over), gaps, sheet.constant(grades[:1]))

    def _quantiles(self, task: Task, levels: str) -> str:
        """Standardised quantiles in order, calibrated, in units."""
        sheet, (scale, offset) = self._sheet, self._calibration(task)[:2]
        shifted = sheet.node("Add", sheet.ordered(levels, task.width), sheet.constant(self._levels(task)[1]))
        scaled = sheet.node("Mul", sheet.ordered(shifted, task.width), sheet.constant(scale))
        return sheet.node("Add", scaled, sheet.constant(offset))

    def scale(self, task: Task) -> float:
        """Of a task's logits before the link; quantiles are put in order first, products are made."""
        later = task.type == "quantile" or task.name in self._readout.given
        return 1.0 if later else float(self._calibration(task)[0])

    def _calibration(self, task: Task) -> Matrix:
        """scale, shift, low and high."""
        return array(self._readout.affine(task.name))

    def _levels(self, task: Task) -> Matrix:
        """Of quantiles: where they begin, and their shifts."""
        return array(self._readout.get_buffer(f"levels_{task.name}"))


def dotted(task: Task) -> bool:
    """Whether its logit has dot products; classes have no single direction."""
    return task.type != "multiclass"
