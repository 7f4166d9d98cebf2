"""One command a table.

    python -m benchmarks.quality NAME [options]

NAME is a data set of joint.py, or another module of this package, written with `-` for `_`, whose `main` takes the
options. Reads CHORUS_DATA (default ../shared/data); writes benchmarks/results/quality-<name>.json and .md.
"""

import importlib
import pkgutil
import sys
from pathlib import Path

import typer

from benchmarks.quality import joint

HERE = Path(__file__).parent


def run(name: str, options: list[str]) -> None:
    """Hand the options over to the table's own command; SystemExit names the tables if there is no such one."""
    modules = {module.name for module in pkgutil.iter_modules([str(HERE)])} - {"__main__", "joint"}
    tables = {module.replace("_", "-"): module for module in modules}
    if name in joint.PROTOCOLS:
        command, options = joint.main, [name, *options]
    elif name in tables:
        command = importlib.import_module(f"benchmarks.quality.{tables[name]}").main
    else:
        raise SystemExit(
            f"{name or 'no table'}: choose one of {', '.join(sorted({*joint.PROTOCOLS, *tables}))}"
        )
    sys.argv = [f"benchmarks.quality {name}", *options]
    typer.run(command)


if __name__ == "__main__":
    run(sys.argv[1] if len(sys.argv) > 1 else "", sys.argv[2:])
