"""`python -m benchmarks.chaos`: one drill after another, then one table of what was asked for and found.

All of them write benchmarks/results/chaos.json and chaos.md; a part of them, only <folder>/chaos.json and .md.
"""

import signal
import time
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from benchmarks.chaos import page
from benchmarks.chaos.alone import Outcome, conduct
from benchmarks.chaos.drills import DRILLS
from benchmarks.record import RESULTS, table
from benchmarks.speed import bundle, machine, wrk

MOST = 14.7 * 60.0  # seconds that all drills may take together

app = typer.Typer(add_completion=False)
console = Console(stderr=True)


@app.command()
def main(
    only: Annotated[str, typer.Option(help=f"Some of {', '.join(DRILLS)}, joined by commas.")] = "",
    folder: Annotated[Path, typer.Option(help="Where the bundle and all else is kept.")] = Path("var/bench"),
) -> None:
    """Overload, faults, endings, wrong input: what the service withstands. Ends with 1 if a drill could not run."""
    signal.signal(signal.SIGTERM, _end)
    chosen = _chosen(only)
    wrk.check()
    if not machine.quiet():
        console.print(
            "others are at work on this machine: numbers will be worse than they are", style="yellow"
        )
    with Progress(console=console) as progress:
        bundle.make(folder.absolute(), progress)
    end = time.monotonic() + MOST
    outcomes = {name: _drill(name, folder.absolute(), end - time.monotonic()) for name in chosen}
    told = page.rows(DRILLS, outcomes)
    place = RESULTS if chosen == list(DRILLS) else folder
    page.write(DRILLS, outcomes, told, place)
    typer.echo(table(page.HEADS, [row.cells for row in told]))
    console.print(f"Written: {place / 'chaos.md'}; short: {sum(not row.met for row in told)} of {len(told)}")
    raise typer.Exit(any(outcome.failed for outcome in outcomes.values()))


def _drill(name: str, folder: Path, left: float) -> Outcome:
    """One of them, in its time and in what is left of all; what became of it is said at once."""
    seconds = min(DRILLS[name].SECONDS, left)
    console.print(f"{name}: {seconds:.0f} s at most", highlight=False)
    outcome = conduct(name, folder, seconds) if left > 0 else Outcome(0.0, failed="no time was left for it")
    for row in page.rows(DRILLS, {name: outcome}):
        _, _, asked, wanted, found, verdict = row.cells
        style = "green" if row.met else "bold red"
        console.print(f"  {asked} {wanted}: {found} {verdict}", style=style, highlight=False, soft_wrap=True)
    return outcome


def _chosen(only: str) -> list[str]:
    names = [name.strip() for name in only.split(",") if name.strip()] or list(DRILLS)
    unknown = sorted(set(names) - set(DRILLS))
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(DRILLS)}")
    return names


def _end(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM ends it as Ctrl-C does: the drill that is under way is ended on the way out."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    app()
