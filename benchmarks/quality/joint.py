"""A data set's shipped configuration, from the original files to a published bundle and its table.

python -m benchmarks.quality ebnerd|homedepot|movielens|shop [--no-alone] [--no-publish]
"""

import json
import os
import platform
import re
import resource
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.record import RESULTS, git

FOLDERS = {"ebnerd": "ebnerd-demo", "homedepot": "home-depot", "movielens": "movielens-100k"}
PROTOCOLS = {
    "ebnerd": "test: the whole published validation week; choices on the last day of the train week. It was met "
    "by one other configuration, without 7-day windows and weekday: worse on both parts, dropped",
    "homedepot": "titles only; queries held out whole by md5: buckets 8 and 9 of 10 are the test, 7 validation, on "
    "which dropout, rates and the epoch were chosen",
    "movielens": "by time: the newest tenth of the ratings is the test, the tenth before it validation",
    "shop": "by time: the newest 12 % of the impressions are the test, the 12 % before them validation",
}


def main(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(PROTOCOLS)}.")],
    alone: Annotated[bool, typer.Option(help="Also train each task by itself.")] = True,
    publish: Annotated[bool, typer.Option(help="Export the bundle too.")] = True,
) -> None:
    """Adapt, train, test, and write the table."""
    run = Path("runs") / name
    command("chorus-train", *prepare(name))
    options = ["--alone" if alone else "--no-alone", "--publish" if publish else "--no-publish"]
    before = _cpu_minutes()
    command("chorus-train", "run", f"data/{name}/{name}.toml", "--run", str(run), *options)
    metrics = json.loads((run / "metrics.json").read_bytes())
    RESULTS.mkdir(exist_ok=True)
    record = {
        "name": name,
        "protocol": PROTOCOLS[name],
        "date": datetime.now(UTC).date().isoformat(),
        "commit": git("rev-parse", "--short", "HEAD"),
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}",
        "cpu_minutes": round(_cpu_minutes() - before, 1),
        "config": (run / "config.toml").read_text(),
        **metrics,
    }
    (RESULTS / f"quality-{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    (RESULTS / f"quality-{name}.md").write_text(_tables((run / "report.md").read_text()))


def _tables(report: str) -> str:
    """Without the plots, which stay in the run's folder."""
    return re.sub(r"\n## [^\n]+\n\n!\[[^\n]*\n", "", report)


def _cpu_minutes() -> float:
    """Of all commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) / 60.0


def prepare(name: str) -> list[str]:
    """Arguments of `chorus-train` that write the tables."""
    if name == "shop":
        return ["demo", "data/shop"]
    if name not in FOLDERS:
        raise typer.BadParameter(f"{name!r}; choose one of {', '.join(PROTOCOLS)}")
    source = Path(os.environ.get("CHORUS_DATA", "../shared/data")) / FOLDERS[name]
    if not source.is_dir():
        raise typer.BadParameter(f"{source} is absent; set CHORUS_DATA to the folder of the public data sets")
    return ["adapt", name, str(source), "--out", f"data/{name}"]


def command(*arguments: str) -> None:
    """Run one of our own commands, from the environment that runs this."""
    program = Path(sys.executable).parent / arguments[0]
    subprocess.run([str(program), *arguments[1:]], check=True)
