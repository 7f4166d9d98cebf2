"""From the values of features to the columns of the matrix, in a few steps for all of them.

values    (V, n)   each feature once, however often it is named; NaN where missing
columns   (n, F)   in the order of the names: the values, 0 where missing, or rank, gap and lead of each in its list,
                   then whether the feature is missing
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from model_store.listwise import FORMS, relative
from model_store.moment import Floats, Ints
from model_store.names import Name

LINE = 16  # numbers of a cache line


class Columns:
    """Where the columns of some features come from; width: how many values each has.

    places: each feature with its rows among the values, of which there are `size`.
    """

    def __init__(self, names: Sequence[Name], width: Callable[[Name], int]) -> None:
        rows: dict[str, range] = {}
        self.size = self._width = 0
        for name in names:
            if name.plain not in rows:
                rows[name.plain] = range(self.size, self.size + width(name))
                self.size = rows[name.plain].stop
        named = {name.plain: name for name in names}
        self.places = tuple((named[plain], slice(each.start, each.stop)) for plain, each in rows.items())
        self._told, self._compared, self._missing = _Move(), _Move(), _Move()
        for name in names:
            self._add(name, rows[name.plain])

    def table(self, values: Floats, starts: Ints) -> NDArray[np.float32]:
        """The columns (n, F) of values (V, n), of lists that begin at `starts`."""
        missing, rows = np.isnan(values), values.shape[1]
        lines = rows // LINE + 1 | 1  # odd, or lines that are read across would share few places of a cache
        columns = np.empty((self._width, lines * LINE), dtype=np.float32)[:, :rows]
        told = values[self._told.rows]
        columns[self._told.columns] = np.fmin(told, 0.0) + np.fmax(told, 0.0)  # of NaN both are 0
        columns[self._missing.columns] = missing[self._missing.rows]
        if self._compared.rows:
            forms = relative(values[self._compared.rows], starts)
            columns[self._compared.columns] = forms.reshape(-1, rows)
        return columns.T

    def _add(self, name: Name, rows: range) -> None:
        """The columns that stand next."""
        move, forms = (self._compared, len(FORMS)) if name.listed else (self._told, 1)
        move.rows += rows
        move.columns += range(self._width, self._width + len(rows) * forms)
        self._width += len(rows) * forms
        if name.optional:
            self._missing.rows.append(rows[-1])
            self._missing.columns.append(self._width)
            self._width += 1


class _Move:
    """From which rows of values to which columns."""

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.columns: list[int] = []
