import ast
from pathlib import Path

import pytest

from benchmarks.chaos.drills import DRILLS

FOLDER = Path(__file__).parents[2] / "benchmarks" / "chaos"
DOCS = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def functions(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def test_every_module_that_measures_is_run():
    offered = {path.stem for path in FOLDER.glob("*.py") if {"measure", "bounds"} <= functions(path)}
    assert offered == set(DRILLS)


@pytest.mark.parametrize("name", DRILLS)
def test_a_drill_offers_all_that_it_is_asked_for(name):
    drill = DRILLS[name]
    assert callable(drill.measure)
    assert callable(drill.bounds)
    assert 0 < drill.SECONDS < 300
    assert drill.TOLD


@pytest.mark.parametrize("name", DRILLS)
def test_docs_have_the_line_that_a_drill_proves_and_name_the_drill(name):
    lines = [line for line in DOCS.read_text().splitlines() if line.startswith(f"| {DRILLS[name].LINE} |")]
    assert len(lines) == 1
    assert f"`{name}`" in lines[0]
