"""The levels of experts above the first layer, in the scorer's graphs: from a kind's first layer to its towers.

A row is what training/model/levels.py makes columns of. Of the last level the experts of other kinds' tasks are left
out: no tower of this kind reads them.
"""

from collections.abc import Sequence

import numpy as np
from scipy.linalg import block_diag

from training.export.blocks import bias, weight
from training.export.sheet import Sheet
from training.model.levels import Level
from training.model.towers import Towers


class Levels:
    """Those of one network, drawn once a kind."""

    def __init__(self, mix: Towers, sheet: Sheet) -> None:
        self._mix, self._sheet = mix, sheet
        self._levels = [level for level in mix.levels if isinstance(level, Level)]

    def inputs(self, row: str, names: Sequence[str]) -> list[str]:
        """What the towers of some tasks read, (n, hidden) each, from the first layer of their kind (n, width)."""
        every = self._mix.names
        for level in self._levels:
            wanted = names if level is self._levels[-1] else every
            row = self._raised(level, self._mixed(row, every, wanted, shared=True), wanted)
        return self._mixed(row, names, names, shared=False)

    def _raised(self, level: Level, inputs: Sequence[str], names: Sequence[str]) -> str:
        """A level's row for some tasks, from what they and what is shared are given."""
        sheet, *given = self._sheet, *inputs
        layers = [*(level.own[name] for name in names), level.shared]
        rows = [
            sheet.affine(value, weight(layer), sheet.constant(bias(layer)))
            for value, layer in zip(given, layers, strict=True)
        ]
        own, shared = level.columns["own"], level.columns["shared"]
        parts = [sheet.split(row, [own, level.choices]) for row in rows[:-1]]
        above = [shared, level.shared.out_features - shared]
        experts, *gate = sheet.split(rows[-1], above if above[1] else above[:1])
        return sheet.joined([experts, *(part[0] for part in parts), *(part[1] for part in parts), *gate])

    def _mixed(self, row: str, held: Sequence[str], wanted: Sequence[str], *, shared: bool) -> list[str]:
        """Of a row that holds some tasks what the gates of those that are wanted let through, (n, hidden) each.

        shared: then that of the shared gate, too.
        """
        mix, sheet = self._mix, self._sheet
        own = mix.choices - mix.shared
        count = mix.shared + own * len(held)
        columns = [count * mix.hidden, mix.choices * len(held), *([count] if shared else [])]
        experts, gates, *whole = sheet.split(row, columns)
        chosen = sheet.node("Softmax", sheet.reshaped(gates, len(held), mix.choices), axis=-1)
        seen = [[*range(mix.shared), *range(mix.shared + own * place, mix.shared + own * (place + 1))]
                for place in range(len(held))]  # fmt: skip
        place = block_diag(*np.eye(count)[seen]).reshape(-1, len(held), count)
        place = place[:, [held.index(name) for name in wanted]].reshape(len(place), -1)
        flat = sheet.reshaped(chosen, mix.choices * len(held))
        shares = [sheet.affine(flat, place, sheet.constant(np.zeros((1, place.shape[1]))))]
        shares += [sheet.node("Softmax", each, axis=-1) for each in whole]
        size = len(wanted) + len(whole)
        lit = sheet.reshaped(sheet.node("Relu", experts), count, mix.hidden)
        mixed = sheet.node("MatMul", sheet.reshaped(sheet.joined(shares), size, count), lit)
        return sheet.split(sheet.reshaped(mixed, size * mix.hidden), [mix.hidden] * size)
