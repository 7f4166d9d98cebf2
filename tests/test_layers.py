"""The house's rules about imports and files, and the proof that the service needs nothing of training's."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parent.parent
HEAVY = {
    "accelerate",
    "matplotlib",
    "onnx",
    "onnxscript",
    "optuna",
    "peft",
    "sklearn",
    "scipy",
    "tomlkit",
    "torch",
    "torchjd",
    "transformers",
}
FORBIDDEN = {
    "app": HEAVY | {"training", "polars"},
    "training": {"app", "fastapi", "redis"},
    "model_store": HEAVY | {"app", "training", "fastapi", "redis", "polars"},
}
ALLOWED = {
    (f"app/{name}.py", "polars") for name in ("files", "groups", "lookup", "offline")
}  # an extra: scoring files
# which import what only scoring of files, only traces and only adapters need
LAZY = {"app/cli.py", "app/service.py", "training/model/adapters.py"}
SHAPELESS = {"common", "helpers", "misc", "util", "utils"}
LINES, FUNCTION = 300, 50


def modules() -> list[Path]:
    return [path for package in FORBIDDEN for path in sorted((ROOT / package).rglob("*.py"))]


def label(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(tree: ast.AST) -> Iterator[str]:
    """Dotted names that a syntax tree imports, a name of `from x import y` as x.y."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def functions(tree: ast.AST) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("path", modules(), ids=label)
def test_a_package_imports_only_what_lies_below_it(path):
    forbidden = FORBIDDEN[label(path).partition("/")[0]]
    tops = {name.partition(".")[0] for name in imported(ast.parse(path.read_text()))}
    assert {name for name in tops & forbidden if (label(path), name) not in ALLOWED} == set()


@pytest.mark.parametrize("path", modules(), ids=label)
def test_a_module_imports_at_its_top_and_never_prints(path):
    tree = ast.parse(path.read_text())
    lazy = {name for function in functions(tree) for name in imported(function)}
    assert not lazy or label(path) in LAZY
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert "print" not in {call.id for call in calls if isinstance(call, ast.Name)}


@pytest.mark.parametrize("path", modules(), ids=label)
def test_a_module_is_short_and_named_after_something(path):
    text = path.read_text()
    assert len(text.splitlines()) <= LINES
    assert [
        each.name for each in functions(ast.parse(text)) if each.end_lineno - each.lineno >= FUNCTION
    ] == []
    assert path.stem not in SHAPELESS
    assert len(path.relative_to(ROOT).parts) <= 3


def test_no_module_imports_itself_by_a_detour():
    names = {
        label(path).removesuffix(".py").removesuffix("/__init__").replace("/", "."): path
        for path in modules()
    }
    graph = {
        name: {
            target
            for each in imported(ast.parse(path.read_text()))
            if (target := _owner(each, names)) != name
        }
        for name, path in names.items()
    }
    try:
        TopologicalSorter({name: targets - {None} for name, targets in graph.items()}).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(error.args[1][::-1]))


def _owner(name: str, names: dict[str, Path]) -> str | None:
    """The module of ours that an imported name is, or lies in."""
    return name if name in names else parent if (parent := name.rpartition(".")[0]) in names else None


def test_nothing_names_the_place_where_it_was_written():
    found = subprocess.run(["git", "ls-files"], check=False, cwd=ROOT, capture_output=True, text=True)
    if found.returncode:
        pytest.skip("not a git checkout")
    places = re.compile(
        "|".join(["/" + "work/", "shar" + "ed/(?!data)", "/" + "opt/(pypi|wheels)", "/" + "root/"])
    )
    paths = [ROOT / name for name in found.stdout.splitlines()]
    texts = {path: path.read_text(errors="replace") for path in paths if path.is_file()}
    assert {path.name for path, text in texts.items() if places.search(text)} == set()


SERVE = """
import sys

class Refusal:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {refused}:
            raise ModuleNotFoundError(name, name=name)

sys.meta_path.insert(0, Refusal())
from app.cli import app
app()
"""


def left_out() -> set[str]:
    """Import names of what the service's image does without, training's packages included."""
    text = (ROOT / "Dockerfile").read_text()
    removed = {
        name.lower().replace("_", "-") for name in re.search(r"uninstall --yes (.*) \\", text)[1].split()
    }
    tops = packages_distributions()
    mine = {
        top for top, names in tops.items() if removed & {name.lower().replace("_", "-") for name in names}
    }
    return mine | FORBIDDEN["app"]


def test_the_service_answers_where_torch_and_all_that_its_image_leaves_out_are_missing(bundle):
    command = [sys.executable, "-c", SERVE.replace("{refused}", repr(left_out()))]
    command += ["serve", "--port", "0", "--store", str(bundle.parent.parent)]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("CHORUS_")}
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True) as service:
        try:
            address = service.stdout.readline().split()[1]
            answer = httpx.post(address, json={"query": "a mug", "k": 3}, timeout=30)
            assert len(answer.json()["items"]) == 3
        finally:
            service.terminate()
            service.stdout.read()
    assert service.returncode == 0
