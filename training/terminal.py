"""What the commands show while they work, and how they end."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from model_store.engine import cores
from model_store.errors import ChorusError

console = Console(stderr=True)


@contextmanager
def progressing() -> Iterator[Progress]:
    """Bars of what is under way."""
    done = TextColumn("{task.completed}/{task.total}")
    clocks = (TimeElapsedColumn(), TimeRemainingColumn())
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), done, *clocks)
    with Progress(*columns, console=console) as progress:
        yield progress


@contextmanager
def plainly() -> Iterator[None]:
    """Our own errors as one line and exit code 2; anything else is a defect and keeps its traceback."""
    torch.set_num_threads(cores())
    try:
        yield
    except ChorusError as error:
        console.print(f"error: {error}", style="bold red", highlight=False)
        sys.exit(2)
