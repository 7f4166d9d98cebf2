"""`python -m benchmarks.soak`: half an hour of load, then one table of what was asked for and found.

A whole run writes benchmarks/results/soak.json, soak.md and soak.svg; a shorter one, the same in <folder>.
"""

import json
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from benchmarks.chaos.alone import bounded
from benchmarks.record import RESULTS
from benchmarks.soak import page
from benchmarks.soak.drill import MINUTES
from benchmarks.speed import bundle, machine, wrk

BESIDE = 240.0  # seconds for all that is done before and after the load

app = typer.Typer(add_completion=False)
console = Console(stderr=True)


@app.command()
def main(
    minutes: Annotated[float, typer.Option(min=1.0, help="That count; fewer than 30 are a try.")] = MINUTES,
    folder: Annotated[Path, typer.Option(help="Where the bundle and all else is kept.")] = Path("var/bench"),
) -> None:
    """Requests, events, changes of items and new versions for half an hour. Ends with 1 if it could not be run."""
    signal.signal(signal.SIGTERM, _end)
    wrk.check()
    folder = folder.absolute()
    if not machine.quiet():
        console.print(
            "others are at work on this machine: numbers will be worse than they are", style="yellow"
        )
    with Progress(console=console) as progress:
        bundle.make(folder, progress)
    out, seconds = folder / "soak-found.json", 60.0 * minutes * (1.0 + 1.0 / MINUTES) + BESIDE
    out.unlink(missing_ok=True)
    console.print(f"soak: {seconds / 60.0:.0f} minutes at most", highlight=False)
    command = [sys.executable, "-m", "benchmarks.soak.drill", str(folder), str(minutes), str(out)]
    if failed := bounded(command, seconds=seconds, log=folder / "soak.log"):
        console.print(f"soak: {failed}", style="bold red", highlight=False)
        raise typer.Exit(1)
    found, place = json.loads(out.read_text()), RESULTS if minutes >= MINUTES else folder
    out.unlink()
    page.write(found, place)
    typer.echo(page.asked(found))
    console.print(f"Written: {place / 'soak.md'}; short: {sum(not row.met for row in page.rows(found))}")


def _end(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM ends it as Ctrl-C does, with all that it has started."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    app()
