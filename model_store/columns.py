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
        told, compared, missing = _Move(), _Move(), _Move()
        for name in names:
            found, forms = rows[name.plain], len(FORMS) if name.listed else 1
            self._width = (compared if name.listed else told).add(found, self._width, len(found) * forms)
            if name.optional:
                self._width = missing.add(found[-1:], self._width, 1)
        self._told, self._compared, self._missing = told.arrays, compared.arrays, missing.arrays

    def table(self, values: Floats, starts: Ints) -> NDArray[np.float32]:
        """The columns (n, F) of values (V, n), of lists that begin at `starts`."""
        missing, rows = np.isnan(values), values.shape[1]
        lines = rows // LINE + 1 | 1  # odd, or lines that are read across would share few places of a cache
        columns = np.empty((self._width, lines * LINE), dtype=np.float32)[:, :rows]
        told, to = self._told
        known = values[told]
        columns[to] = np.fmin(known, 0.0) + np.fmax(known, 0.0)  # of NaN both are 0
        last, to = self._missing
        columns[to] = missing[last]
        compared, to = self._compared
        if len(compared):
            columns[to] = relative(values[compared], starts).reshape(-1, rows)
        return columns.T


class _Move:
    """From which rows of values to which columns."""

    def __init__(self) -> None:
        self._rows: list[int] = []
        self._columns: list[int] = []

    def add(self, rows: range, begin: int, count: int) -> int:
        """Some rows, for so many columns; where these end."""
        self._rows += rows
        self._columns += range(begin, begin + count)
        return begin + count

    @property
    def arrays(self) -> tuple[Ints, Ints]:
        """Rows and columns."""
        return np.array(self._rows, dtype=np.int64), np.array(self._columns, dtype=np.int64)
