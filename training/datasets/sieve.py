"""One file on its way into a table: columns are parsed one by one, bad rows are noted and fall out."""

from pathlib import Path

import polars as pl

from training.datasets.columns import Parser
from training.datasets.report import EXAMPLES, BadRows


class Sieve:
    """Rows of one file. A row counts as bad once, for the first thing found."""

    def __init__(self, frame: pl.DataFrame, table: str, path: Path) -> None:
        self.source = frame
        self._table = table
        self._file = path.name
        self._columns: dict[str, pl.Series] = {}
        self._bad = pl.Series([False]).new_from_index(0, frame.height)
        self.found: list[BadRows] = []

    def take(self, name: str, column: str, parser: Parser, *, required: bool = False) -> pl.Series:
        """Parse a column of the file into the table's column `name`; its bad cells make bad rows."""
        parsed = parser(self.source[column])
        self._columns[name] = parsed.values.alias(name)
        self._note(column, parsed.reasons)
        if required:
            self.reject(column, parsed.values.is_null(), "missing")
        return self._columns[name]

    def put(self, name: str, values: pl.Series) -> None:
        """Add a column that was made from others."""
        self._columns[name] = values.alias(name)

    def reject(self, column: str, bad: pl.Series, reason: str) -> None:
        """Note rows as bad for a reason of the caller's."""
        self._note(column, pl.select(pl.when(bad).then(pl.lit(reason))).to_series())

    def rows(self) -> pl.DataFrame:
        """The good rows, in file order."""
        return pl.DataFrame(list(self._columns.values())).filter(~self._bad)

    def _note(self, column: str, reasons: pl.Series) -> None:
        fresh = reasons.is_not_null() & ~self._bad
        if not fresh.any():
            return
        cells = self.source[column]
        for reason in reasons.filter(fresh).unique(maintain_order=True):
            rows = (fresh & (reasons == reason)).arg_true()
            examples = tuple((row + 1, _short(cells[row])) for row in rows.head(EXAMPLES))
            self.found.append(BadRows(self._table, self._file, column, reason, len(rows), examples))
        self._bad = self._bad | fresh


def _short(cell: object) -> str:
    words = "empty" if cell is None else repr(cell)
    return words if len(words) <= 40 else words[:37] + "..."
