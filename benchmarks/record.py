"""A benchmark's result: JSON with what is needed to judge it, and a short table for people."""

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def write(stem: str, found: Mapping[str, Any], *, protocol: str, told: str, folder: Path = RESULTS) -> None:
    """`stem`.json and `stem`.md; told: the tables, in markdown."""
    about = {
        "protocol": protocol,
        "date": datetime.now(UTC).date().isoformat(),
        "commit": git("rev-parse", "--short", "HEAD"),
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}",
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.json").write_text(json.dumps({**about, **found}, indent=1) + "\n")
    lines = [f"# {stem}", "", protocol, "", f"{about['date']}, {about['commit']}; {about['machine']}.", ""]
    (folder / f"{stem}.md").write_text("\n".join(lines) + "\n" + told.rstrip() + "\n")


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Rows in markdown, numbers to four digits."""
    written = [heads, ["---"] * len(heads), *([_cell(value) for value in row] for row in rows)]
    return "".join(f"| {' | '.join(map(str, row))} |\n" for row in written) + "\n"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def git(*arguments: str) -> str:
    """One line of git."""
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()
