"""`chorus-train explain`, and what report.md shows of it."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from training import report
from training.cli import app

RECORD = {
    "tests": {"joint": {}},
    "retrieval": {},
    "gates": {},
    "data": {"items": 1, "users": 1, "history_events": 1, "requests": {}},
}


@pytest.fixture(scope="module")
def explained(run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A copy of the tiny run, explained, and what the command said."""
    folder = tmp_path_factory.mktemp("explained") / "tiny"
    shutil.copytree(run.folder, folder)
    (folder / "metrics.json").write_text(json.dumps(RECORD))
    result = CliRunner(env={"COLUMNS": "300"}).invoke(app, ["explain", str(folder)])
    torch.set_num_threads(1)
    torch.set_flush_denormal(False)
    assert result.exit_code == 0, result.output
    return folder, result.output


def test_the_command_leaves_two_plots_and_their_numbers_and_says_where(explained):
    folder, output = explained
    for name in ("importance", "day"):
        assert (folder / f"{name}.svg").read_text().startswith("<?xml")
        assert json.loads((folder / f"{name}.json").read_bytes())["part"] == "validation"
        assert str(folder / f"{name}.svg") in output.replace("\n", "")


def test_the_report_shows_both_below_its_tables_with_their_captions(explained):
    text = (explained[0] / "report.md").read_text()
    assert text.startswith("# shop: test part\n")
    for name, heading in report.EXPLAINED.items():
        caption = json.loads((explained[0] / f"{name}.json").read_bytes())["caption"]
        assert f"\n\n## {heading}\n\n![{heading}]({name}.svg)\n\n{caption}\n" in text


def test_a_report_without_plots_is_the_tables_alone(tmp_path):
    report.write(tmp_path, "shop", RECORD)
    assert (tmp_path / "report.md").read_text() == report.markdown("shop", RECORD)


def test_the_help_says_what_comes_out():
    output = CliRunner(env={"COLUMNS": "300"}).invoke(app, ["explain", "--help"]).output
    assert all(word in output for word in ("importance.svg", "day.svg", "report.md", "Breiman"))


def test_a_folder_that_is_no_run_is_one_line_and_exit_code_2():
    result = CliRunner(env={"COLUMNS": "300"}).invoke(app, ["explain", "nowhere"])
    assert result.exit_code == 2
    assert "nowhere is no run folder" in result.output
