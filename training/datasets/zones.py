"""Times of one table must all say their zone, or none: a mixture would shift some of them unseen."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from training.datasets import columns
from training.errors import DataError


class Zones:
    """Sees the time columns of a table's files and remembers the first time of each kind."""

    def __init__(self) -> None:
        self._first: dict[bool, str] = {}
        self._doubt = ""

    def see(self, column: pl.Series, role: str, path: Path) -> None:
        """Look at one file's column. DataError once both kinds have been seen."""
        zoned = columns.zoned(column)
        for kind in (True, False):
            rows = (zoned == kind).fill_null(value=False).arg_true()
            if len(rows):
                self._first.setdefault(kind, f"{path.name} row {rows[0] + 1} ({column[int(rows[0])]})")
        if False in self._first:
            self._doubt = (
                f"{role}: times of column {column.name!r} have no zone and are read as UTC:"
                f" {self._first[False]}; write an offset if they are local"
            )
        if len(self._first) == 2:
            raise DataError(
                f"{role}: column {column.name!r} mixes times with a zone, {self._first[True]}, and without,"
                f" {self._first[False]}; write every one with an offset or Z, or none (read as UTC)"
            )

    def doubts(self) -> Iterator[str]:
        """A line if the times have no zone: nothing shows whether UTC is meant."""
        if self._doubt:
            yield self._doubt
