"""`python -m benchmarks.speed`: prepare, measure section after section, write the page.

A whole run writes benchmarks/results/speed.json and speed.md; a part of it, or a quick one, only var/bench/.
"""

import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.record import RESULTS
from benchmarks.speed import (
    batch,
    bundle,
    latency,
    machine,
    memory,
    profile,
    report,
    start,
    text,
    warm,
    workers,
    wrk,
)
from benchmarks.speed.rig import Cores, Rig, rig
from benchmarks.speed.targets import targets

SECTIONS: Mapping[str, Callable[[Rig], dict[str, Any]]] = {
    "start": start.measure,
    "warm": warm.measure,
    "latency": latency.measure,
    "text": text.measure,
    "batch": batch.measure,
    "memory": memory.measure,
    "workers": workers.measure,
    "profile": profile.measure,
}

app = typer.Typer(add_completion=False)
console = Console(stderr=True)


@app.command()
def main(
    only: Annotated[str, typer.Option(help=f"Some of {', '.join(SECTIONS)}, joined by commas.")] = "",
    quick: Annotated[bool, typer.Option(help="Seconds instead of minutes: to try, not to tell.")] = False,
    peers: Annotated[Path, typer.Option(help="The peers' environment.")] = Path(".venv-bench"),
    folder: Annotated[Path, typer.Option(help="Where the bundle and all else is kept.")] = Path("var/bench"),
    server_core: Annotated[int, typer.Option(help="The servers' core; the last one by default.")] = -1,
    load_core: Annotated[int, typer.Option(help="The load generator's and Redis's; the first one.")] = -1,
) -> None:
    """Measure the service beside its limits and its peers."""
    signal.signal(signal.SIGTERM, _end)
    chosen = _chosen(only)
    wrk.check()
    python = peers.absolute() / "bin" / "python"
    if not python.exists():
        raise SystemExit(f"{python} is missing; make it with: make {peers}")
    free = sorted(os.sched_getaffinity(0))
    cores = Cores(free[-1] if server_core < 0 else server_core, free[0] if load_core < 0 else load_core)
    if not machine.quiet():
        console.print(
            "others are at work on this machine: numbers will be worse than they are", style="yellow"
        )
    began, about = time.monotonic(), machine.describe(python)
    with _progress() as progress:
        made = bundle.make(folder.absolute(), progress)
    with rig(made, cores=cores, peers=python, console=console, quick=quick) as ready:
        sections, failed = _measure(ready, chosen)
    whole = not quick and not failed and len(chosen) == len(SECTIONS)
    about |= {"minutes": (time.monotonic() - began) / 60.0}
    place = RESULTS if whole else folder
    report.write(sections, about, cores, place)
    _say(sections, place)
    if failed:
        raise SystemExit(f"failed: {'; '.join(f'{name}: {why}' for name, why in failed.items())}")


def _measure(ready: Rig, chosen: list[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Sections that were measured, and what went wrong in those that were not."""
    sections, failed = {}, {}
    for name in chosen:
        console.rule(f"{name} ({len(sections) + len(failed) + 1} of {len(chosen)})")
        start = time.monotonic()
        try:
            sections[name] = SECTIONS[name](ready)
        except SystemExit as error:
            failed[name] = str(error)
            console.print(f"{name}: {error}", style="red", highlight=False)
        console.print(f"  {time.monotonic() - start:.0f} s")
    return sections, failed


def _chosen(only: str) -> list[str]:
    names = [name.strip() for name in only.split(",") if name.strip()] or list(SECTIONS)
    unknown = sorted(set(names) - set(SECTIONS))
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join(SECTIONS)}")
    return names


def _say(sections: Mapping[str, Any], place: Path) -> None:
    for target in targets(sections):
        wanted = f"{'at most' if target.below else 'at least'} {target.limit:g}"
        style = "green" if target.met else "bold red"
        console.print(f"{target.name}: {target.found:.3g} ({wanted})", style=style, highlight=False)
    console.print(f"Written: {place / 'speed.md'}")


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)


def _end(_number: int, _frame: FrameType | None) -> None:
    """SIGTERM ends it as Ctrl-C does: every server is stopped on the way out."""
    raise KeyboardInterrupt
