"""What the commands show while they work, and how they end."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from rich.console import Console
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segments
from rich.table import Table

from model_store.engine import cores
from model_store.errors import ChorusError

WIDE = 10_000  # letters: more than any table has

console = Console(stderr=True, markup=False, emoji=False)  # what files and cells hold is told as it stands


@contextmanager
def progressing() -> Iterator[Progress]:
    """Bars of what is under way."""
    done = TextColumn("{task.completed}/{task.total}")
    clocks = (TimeElapsedColumn(), TimeRemainingColumn())
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), done, *clocks)
    with Progress(*columns, console=console) as progress:
        yield progress


def show(table: Table, on: Console = console) -> None:
    """A table whose figures are whole: where the terminal is narrower than they are, its lines go on below."""
    whole = Measurement.get(on, on.options.update(max_width=WIDE), table).minimum
    lines = on.render(table, on.options.update(max_width=max(on.width, whole)))
    on.print(Segments(lines), end="", crop=False)  # print itself takes no width beyond the terminal's


@contextmanager
def plainly() -> Iterator[None]:
    """Our own errors as one line and exit code 2; anything else is a defect and keeps its traceback."""
    torch.set_num_threads(cores())
    try:
        yield
    except ChorusError as error:
        console.print(f"error: {error}", style="bold red", highlight=False)
        sys.exit(2)
