"""What README and docs promise is there: commands, options, links, fields, and the answer that is printed."""

import json
import re
import shlex
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import click
import pytest
import typer

import app.cli
import training.cli
from app.settings import Settings
from model_store import manifest
from tests.live import running
from training.config import read

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
PAGES = {path.name: path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]}
TOOLS = {
    name: typer.main.get_command(tool)
    for name, tool in [("chorus-serve", app.cli.app), ("chorus-train", training.cli.app)]
}
REACH = 25  # lines within which the first command stands


def block(language: str, page: str = README) -> str:
    return re.search(rf"```{language}\n(.*?)```", page, re.DOTALL)[1]


def code(page: str) -> list[str]:
    """Every line of code on a page: of its blocks, and between backticks."""
    blocks = re.findall(r"```\w*\n(.*?)```", page, re.DOTALL)
    rest = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    return [line for text in blocks for line in text.splitlines()] + re.findall(r"`([^`\n]+)`", rest)


def commands(page: str) -> list[list[str]]:
    """Calls of our two tools, as words, without their comments and redirections."""
    lines = [re.split(r"\s#\s|\s*[|>]", line)[0] for line in code(page)]
    found = [re.search(r"(chorus-(?:serve|train)(?=\s).*)", line) for line in lines]
    return [shlex.split(match[1]) for match in found if match]


def test_the_two_commands_stand_at_the_top():
    top = README.splitlines()[:REACH]
    assert any(line.startswith("make demo") for line in top)
    assert any(line.startswith("make test") for line in top)


@pytest.mark.parametrize("name", PAGES)
def test_every_make_target_that_a_page_names_exists(name):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    calls = [re.findall(r"\bmake ([a-z][a-z-]*)", line) for line in code(PAGES[name]) if "make" in line]
    assert {target for call in calls for target in call} <= targets


@pytest.mark.parametrize("name", PAGES)
def test_every_call_that_a_page_shows_can_be_made(name):
    for tool, *words in commands(PAGES[name]):
        command, given = named(tool, words)
        if hasattr(command, "commands"):
            assert given in ([], ["--help"]), words
            continue
        options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        switches = {option for parameter in command.params for option in parameter.secondary_opts}
        assert {word for word in given if word.startswith("--")} <= options | switches, words
        with command.make_context(tool, given, resilient_parsing=True) as context:
            assert not context.args, words
        places = [one for one in command.params if isinstance(one, click.Argument) and one.required]
        assert "--help" in given or len(given) >= len(places), words


def test_no_help_has_words_in_angle_brackets_which_would_not_be_shown():
    for tool in TOOLS.values():
        commands = [tool]
        for command in commands:
            commands += getattr(command, "commands", {}).values()
            texts = [command.help, *(getattr(each, "help", None) for each in command.params)]
            assert [text for text in texts if text and re.search(r"<\w+>", text)] == []


def named(tool, words):
    """The command that a call names, and the words behind its name."""
    command = TOOLS[tool]
    while hasattr(command, "commands") and words and words[0] != "--help":
        command, words = command.commands[words[0]], words[1:]
    return command, words


@pytest.mark.parametrize("name", PAGES)
def test_every_link_inside_the_house_leads_somewhere(name):
    folder = ROOT if name == "README.md" else ROOT / "docs"
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", PAGES[name]):
        assert (folder / target).is_file(), target


@pytest.mark.parametrize("package", ["app", "model_store", "training"])
def test_every_module_of_a_package_stands_on_the_map(package):
    page = PAGES["architecture.md"]
    told = set(re.findall(r"\w+", page[page.index("## The map") : page.index("## The model")]))
    modules = {path.stem for path in (ROOT / package).glob("[a-z]*.py")}
    assert modules - told - {"errors"} == set()


def test_every_figure_of_the_table_of_quality_is_in_the_results_that_its_row_or_the_one_above_links():
    table = re.search(r"^\| data \| task .*?\n\n", README, re.DOTALL | re.MULTILINE)[0]
    known: set[Decimal] = set()
    for row in table.strip().splitlines()[2:]:
        if link := re.search(r"\]\((benchmarks/results/.*?)\)", row):
            results = (ROOT / link[1]).read_text()
            known = {rounded(figure) for figure in re.findall(r"\b\d+\.\d{3,}\b", results)}
        figures = {Decimal(figure) for figure in re.findall(r"\b\d\.\d{3}\b", row)}
        assert figures
        assert figures <= known, row


def rounded(figure: str) -> Decimal:
    """To three places, halves up."""
    return Decimal(figure).quantize(Decimal("0.001"), ROUND_HALF_UP)


def test_the_answer_that_is_printed_has_the_shape_of_a_real_one(bundle):
    body = json.loads(re.search(r"curl .*? -d '(.*)'", README)[1])
    printed = json.loads(block("json"))
    with running(Settings(store=bundle.parent.parent)) as client:
        answered = client.post("/recommend", content=json.dumps(body)).json()
    assert len(printed["items"]) == len(answered["items"]) == body["k"]
    assert shape(printed) == shape(answered)


def shape(answer):
    """An answer with its values left out; `category` names the likeliest classes, others each time."""
    if isinstance(answer, dict):
        return {key: shape(value) for key, value in answer.items() if key != "category"} | {
            key: len(value) for key, value in answer.items() if key == "category"
        }
    if isinstance(answer, list):
        return [shape(value) for value in answer]
    return float if isinstance(answer, float) else type(answer)


def test_make_demo_proposes_the_same_request():
    body = re.search(r"curl .*? -d '(.*)'", README)[1]
    assert body in (ROOT / "Makefile").read_text()


def test_the_ten_lines_for_your_own_data_are_a_whole_configuration(tmp_path):
    path = tmp_path / "books.toml"
    path.write_text(block("toml"))
    assert list(read(path).tasks) == ["open"]


@pytest.mark.parametrize(
    "model",
    [
        manifest.Manifest, manifest.Task, manifest.TextField, manifest.FileEntry,
        manifest.FusionDefault, manifest.Retrieval, manifest.Features, manifest.Scale, manifest.Index,
    ],
)  # fmt: skip
def test_every_field_of_a_manifest_is_explained(model):
    page = PAGES["bundle.md"]
    assert {name for name in model.model_fields if f"`{name}`" not in page} == set()


def test_every_file_of_a_bundle_is_explained(bundle):
    names = {re.sub(r"\.\d+\.", ".<k>.", path.name) for path in bundle.iterdir()}
    assert {name for name in names if f"`{name}`" not in PAGES["bundle.md"]} == set()
