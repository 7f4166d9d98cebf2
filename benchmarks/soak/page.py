"""soak.json, soak.md and soak.svg: what was asked for and found, then minute after minute."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import record
from benchmarks.chaos.page import HEADS, Row, tables
from benchmarks.soak.drill import LINE, TOLD, bounds
from benchmarks.speed.plots import OURS, THEIRS
from training.drawing import drawn


def rows(found: Mapping[str, Any]) -> list[Row]:
    """As in the table of all drills."""
    return [Row(LINE, "soak", target) for target in bounds(found)]


def asked(found: Mapping[str, Any]) -> str:
    """The table of what was asked for."""
    return record.table(HEADS, [row.cells for row in rows(found)])


def write(found: Mapping[str, Any], folder: Path) -> None:
    """All three files."""
    asks = [{"met": row.met} | vars(row.target) for row in rows(found)]
    told = f"{asked(found)}![p99 and memory by the minute](soak.svg)\n\n{tables(found)}"
    record.write("soak", {"bounds": asks, "found": found}, protocol=TOLD, told=told, folder=folder)
    _draw(found, folder / "soak.svg")


def _draw(found: Mapping[str, Any], path: Path) -> None:
    """p50 and p99 of each minute, and what the process held."""
    parts = found["minutes"]
    numbers = range(1, len(parts) + 1)
    with drawn(path, width=8.0, height=4.6) as figure:
        waits, memory = figure.subplots(2, sharex=True)
        for name, colour in (("p99, ms", OURS), ("p50, ms", THEIRS)):
            waits.plot(numbers, [part[name] for part in parts], color=colour, marker=".", label=name)
        waits.set_ylim(bottom=0.0)
        waits.set_title("How long requests waited, and what the service held, by the minute")
        memory.plot(
            numbers, [part["MiB, median"] for part in parts], color=OURS, marker=".", label="MiB, median"
        )
        memory.plot(
            numbers, [part["MiB, most"] for part in parts], color=THEIRS, marker=".", label="MiB, most"
        )
        memory.set_ylim(bottom=0.0)
        for axes in (waits, memory):
            for number in (number for number, part in zip(numbers, parts, strict=True) if part["versions"]):
                axes.axvline(number, color="#999999", linewidth=0.8)  # a new version
            axes.grid(axis="y", color="#dddddd", linewidth=0.6)
            axes.legend(frameon=False)
        memory.set_xlabel("minute; a line where a new version was asked for")
