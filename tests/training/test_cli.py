"""The commands as people type them: each in a process of its own, or by typer's runner."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from model_store.shelf import Shelf
from tests import tiny
from tests.training.search.tables import write
from training.cli import app
from training.run import Run

COMMANDS = ("demo", "adapt", "run", "renew", "search", "evaluate", "explain", "export", "publish", "verify")


def chorus(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "training.cli", *map(str, arguments)]
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "COLUMNS": "300",
        "NO_COLOR": "1",
    }
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, check=False)


def typed(*arguments: object) -> tuple[int, str]:
    """Exit code and output, in this process."""
    result = CliRunner(env={"COLUMNS": "300"}).invoke(app, [str(argument) for argument in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def plain(text: str) -> str:
    """Without colours and line breaks."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m", "", text).split())


# help


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_that_explains_it(command):
    code, output = typed(command, "--help")
    assert code == 0
    assert len(plain(output)) > 150


def test_the_help_lists_every_command_and_where_to_begin():
    code, output = typed("--help")
    assert code == 0
    assert all(command in output for command in COMMANDS)
    assert "chorus-train demo" in output


# from nothing to a bundle


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """`chorus-train run` on the tiny shop, in a process of its own."""
    root = tmp_path_factory.mktemp("cli")
    config = tiny.configuration(root / "data")
    config.write_text(config.read_text().replace("epochs = 2", "epochs = 1"))
    return root, chorus(
        "run", config, "--run", root / "runs" / "tiny", "--shelf", root / "shelf", "--no-alone", cwd=root
    )


def test_two_configurations_train_one_encoder_and_make_a_bundle_each(tmp_path):
    first = tiny.configuration(tmp_path / "data")
    first.write_text(first.read_text().replace("epochs = 2", "epochs = 1"))
    name = re.search(r'^name = "(.*)"', first.read_text(), re.M)
    second = first.with_name("second.toml")
    second.write_text(first.read_text().replace(name[0], 'name = "second"'))
    shelf = tmp_path / "shelf"
    done = chorus(
        "run", first, second, "--run", tmp_path / "runs", "--shelf", shelf, "--no-alone", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    texts = [
        load_file(tmp_path / "runs" / each / "best.safetensors")["text.projection.weight"]
        for each in (name[1], "second")
    ]
    assert torch.equal(*texts)
    assert {each.parent.name for each in shelf.glob("*/1")} == {name[1], "second"}


def test_run_ends_with_a_bundle_that_opens(made):
    root, result = made
    assert result.returncode == 0, result.stderr
    bundle = Shelf(root / "shelf").open("shop", 1)
    assert (
        f"Published shop version 1 ({bundle.manifest.precision}): {root / 'shelf' / 'shop' / '1'}"
        in plain(result.stderr)
    )


def test_run_leaves_a_report_of_every_task_beside_the_baselines(made):
    folder = made[0] / "runs" / "tiny"
    written = (folder / "report.md").read_text()
    record = Run(folder).read("metrics.json")
    assert all(f"## {task}\n" in written for task in record["tests"]["joint"])
    assert {"random", "popularity", "constant"} <= set(record["tests"])
    assert "alone" not in record["tests"]


def test_run_writes_nothing_but_its_run_its_cache_and_its_shelf(made):
    assert sorted(path.name for path in made[0].iterdir()) == ["data", "runs", "shelf"]
    assert sorted(path.name for path in (made[0] / "runs").iterdir()) == ["cache", "tiny"]


def test_evaluating_again_gives_the_same_metrics(made):
    folder = made[0] / "runs" / "tiny"
    before = Run(folder).read("metrics.json")
    assert typed("evaluate", folder, "--no-alone")[0] == 0
    after = Run(folder).read("metrics.json")
    assert list(after["tests"]) == list(before["tests"])
    for task, metrics in before["tests"]["joint"].items():
        assert after["tests"]["joint"][task] == pytest.approx(metrics, rel=1e-4, abs=1e-4, nan_ok=True)


def test_a_renewed_run_is_of_what_is_new_is_told_beside_what_it_was_and_published(made, tmp_path):
    earlier = made[0] / "runs" / "tiny"
    code, output = typed("renew", earlier, "--run", tmp_path / "later", "--shelf", tmp_path / "shelf")
    assert code == 0, output
    Shelf(tmp_path / "shelf").open("shop", 1)
    assert "goes on from an earlier run; new to that: nothing" in plain(output)
    record = Run(tmp_path / "later").read("metrics.json")
    assert set(record["tests"]["earlier"]) == set(record["tests"]["joint"])
    assert "alone" not in record["tests"]
    assert record["data"]["rows"]["train"] < Run(earlier).read("metrics.json")["data"]["rows"]["train"]
    assert "| earlier |" in (tmp_path / "later" / "report.md").read_text()


def test_verify_repeats_the_proof_of_a_bundle(bundle):
    code, output = typed("verify", bundle)
    assert code == 0
    assert "as the manifest names them" in plain(output)
    assert re.search(r"largest difference \d\.\d\de-\d\d", plain(output))
    assert "gate at export" in plain(output)


def test_verify_with_the_run_repeats_the_gate(bundle, run):
    code, output = typed("verify", bundle, "--run", run.folder)
    assert code == 0
    assert "gate repeated" in plain(output)


def test_demo_writes_tables_and_a_configuration(tmp_path):
    code, output = typed("demo", tmp_path / "shop", "--seed", 3)
    assert code == 0
    assert "chorus-train run" in plain(output)
    assert {"items.parquet", "events.parquet", "users.parquet", "shop.toml"} <= {
        path.name for path in (tmp_path / "shop").iterdir()
    }


# what goes wrong


def test_a_mistake_in_the_configuration_is_one_line_and_exit_code_2(tmp_path):
    config = tmp_path / "shop.toml"
    config.write_text('name = "shop"\ncolour = "red"\n')
    result = chorus("run", config, cwd=tmp_path)
    assert result.returncode == 2
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1
    assert lines[0].startswith(f"error: {config}: ")
    assert "colour: unknown key" in lines[0]
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["run", "nowhere.toml"], "nowhere.toml: no such file"),
        (["evaluate", "nowhere"], "nowhere is no run folder"),
        (["export", "nowhere"], "nowhere is no run folder"),
        (["publish", "nowhere"], "nowhere is no run folder"),
        (["verify", "nowhere"], "nowhere is no folder"),
    ],
)
def test_what_does_not_exist_is_said_without_a_traceback(arguments, reason):
    code, output = typed(*arguments)
    assert code == 2
    assert reason in plain(output)


def test_a_run_folder_that_is_something_else_is_left_alone(made, tmp_path):
    (tmp_path / "letters").write_text("dear")
    code, output = typed("run", made[0] / "data" / "shop.toml", "--run", tmp_path)
    assert code == 2
    assert "is no run folder, and not empty" in plain(output)
    assert (tmp_path / "letters").read_text() == "dear"


def test_verify_refuses_a_damaged_bundle_by_the_name_of_the_file(made, tmp_path):
    folder = Shelf(made[0] / "shelf").find("shop")
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "heads.onnx").write_bytes(b"")
    code, output = typed("verify", tmp_path)
    assert code == 2
    assert "heads.onnx has 0 bytes" in plain(output)


def test_a_run_of_another_seed_has_a_folder_of_its_own_and_keeps_the_seed(bert, tmp_path, monkeypatch):
    config = write(tmp_path / "data", bert)
    monkeypatch.chdir(tmp_path)
    code, output = typed("run", config, "--seed", 11, "--no-alone", "--no-publish")
    assert code == 0, output
    assert Run(tmp_path / "runs" / "toy-seed11").config.training.seed == 11


def test_runs_are_compared_over_their_seeds(tmp_path):
    for number, joint in enumerate((0.8, 0.82, 0.78)):
        folder = tmp_path / f"run {number}"
        folder.mkdir()
        tests = {"joint": {"click": {"auc": joint}}, "alone": {"click": {"auc": 0.75}}}
        (folder / "metrics.json").write_text(json.dumps({"headlines": {"click": "auc"}, "tests": tests}))
    runs = [str(tmp_path / f"run {number}") for number in range(3)]
    result = CliRunner().invoke(app, ["compare", *runs, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    text = (tmp_path / "out" / "worth.md").read_text()
    assert "| click | AUC ↑ | 0.8000 | 0.7500 | +0.0500 ± 0.0497 |" in text
    assert "3 runs, 95 % intervals" in text
    assert (tmp_path / "out" / "worth.svg").is_file()
    assert "data:image/svg+xml" in (tmp_path / "out" / "worth.html").read_text()
    again = CliRunner().invoke(app, ["compare", *runs, runs[0], "--out", str(tmp_path / "again")])
    assert again.exit_code == 2
    assert not (tmp_path / "again").exists()
