"""What was read and what was kept out: every bad row counted once, under the first thing wrong with it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from training.errors import DataError

EXAMPLES = 3


@dataclass(frozen=True)
class BadRows:
    """Rows of one file that are bad in the same way; examples are (data row, from 1, and its cell)."""

    table: str
    file: str
    column: str
    reason: str
    count: int
    examples: tuple[tuple[int, str], ...]

    def __str__(self) -> str:
        rows = ", ".join(f"row {row} ({cell})" for row, cell in self.examples)
        more = ", ..." if self.count > len(self.examples) else ""
        return f"{self.file}, column {self.column}: {self.reason}: {self.count} ({rows}{more})"


@dataclass(frozen=True)
class Report:
    """Rows read and kept of each table, the bad rows of all, and doubts about what was kept."""

    read: dict[str, int] = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=dict)
    bad: tuple[BadRows, ...] = ()
    doubts: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """For humans: one line a table, one below it for each way of being bad, and the doubts."""
        lines = []
        for table, rows in self.read.items():
            lost = rows - self.kept[table]
            lines.append(f"{table}: {rows:,} rows read, {lost:,} bad ({lost / max(rows, 1):.2%}) kept out")
            lines += [f"  {bad}" for bad in self.bad if bad.table == table]
        return [*lines, *self.doubts]

    def with_table(self, table: str, read: int, kept: int, bad: Sequence[BadRows]) -> "Report":
        """This report and one table more."""
        return replace(
            self, read={**self.read, table: read}, kept={**self.kept, table: kept}, bad=(*self.bad, *bad)
        )

    def doubting(self, doubts: Iterable[str]) -> "Report":
        """This report with more doubts."""
        return replace(self, doubts=(*self.doubts, *doubts))


def check_share(table: str, read: int, bad: Sequence[BadRows], limit: float) -> None:
    """DataError if more than the share `limit` of a table's rows is bad, or all of them."""
    lost = sum(entry.count for entry in bad)
    if lost <= limit * read and lost < read:
        return
    worst = sorted(bad, key=lambda entry: -entry.count)[:EXAMPLES]
    raise DataError(
        f"{table}: {lost:,} of {read:,} rows are bad ({lost / read:.1%}), more than training.bad_rows"
        f" = {limit:.1%}. {'. '.join(map(str, worst))}. Mend them, or raise training.bad_rows"
    )
