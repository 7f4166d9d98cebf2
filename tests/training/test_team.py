"""Two real processes of torchrun, against one that does the same alone."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from tests import tiny
from tests.training import crew
from training.team import SOLO, Part, Team

ROOT = Path(__file__).parents[2]
TORCHRUN = (
    sys.executable,
    "-m",
    "torch.distributed.run",
    "--standalone",
    "--nproc-per-node",
    "2",
    "-m",
    "--",
)


def torchrun(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "NO_COLOR": "1",
        "COLUMNS": "300",
    }
    return subprocess.run(
        [*TORCHRUN, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=cwd,
    )


@pytest.fixture(scope="module")
def runs(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Run folders by balance: of one process, and of two."""
    root = tmp_path_factory.mktemp("team")
    encoder = root / "encoder"
    shutil.copytree(bert, encoder)
    config = json.loads((encoder / "config.json").read_text())
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (encoder / "config.json").write_text(json.dumps(config | still))
    crew.main(encoder, root / "one")
    done = torchrun("tests.training.crew", encoder, root / "two", cwd=root)
    assert done.returncode == 0, done.stderr
    return root / "one", root / "two"


@pytest.mark.parametrize("balance", sorted(set(crew.BALANCES) - {"rlw", "pcgrad"}))
def test_two_processes_train_what_one_trains(runs, balance):
    one, two = (load_file(folder / balance / "best.safetensors") for folder in runs)
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-4, msg=name)
    logs = [(folder / balance / "log.jsonl").read_text().splitlines() for folder in runs]
    for ours, theirs in zip(*logs, strict=True):
        assert json.loads(theirs)["losses"] == pytest.approx(json.loads(ours)["losses"], rel=1e-4)


def test_two_processes_learn_once_more_what_one_does(runs):
    one, two = (load_file(folder / "famo" / "refit" / "best.safetensors") for folder in runs)
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize("balance", ["rlw", "pcgrad"])
def test_a_balance_that_draws_draws_once_for_all(runs, balance):
    losses = [json.loads(line)["loss"] for line in (runs[1] / balance / "log.jsonl").read_text().splitlines()]
    assert len(losses) == 2
    assert losses[1] < losses[0]


def test_the_command_publishes_one_bundle_of_two_processes_and_goes_on_with_as_many(tmp_path):
    config = tiny.configuration(tmp_path / "data")
    path = config.parent / "events.parquet"
    events = pl.read_parquet(path).sort("timestamp")
    events.head(int(0.7 * len(events))).write_parquet(path)
    command = ["training.cli", "run", config, "--run", tmp_path / "run", "--shelf", tmp_path / "shelf"]
    done = torchrun(*command, "--no-alone", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("Published ") == 1
    assert [each.name for each in (tmp_path / "shelf").glob("*/[0-9]*")] == ["1"]
    again = subprocess.run(
        [sys.executable, "-m", *map(str, command), "--no-publish", "--resume"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "300", "NO_COLOR": "1"},
    )  # fmt: skip
    assert again.returncode == 2
    assert "was trained by 2 processes, these are 1; resume with as many" in again.stderr
    events.write_parquet(path)
    renewed = torchrun("training.cli", "renew", tmp_path / "run", "--shelf", tmp_path / "shelf", cwd=tmp_path)
    assert renewed.returncode == 0, renewed.stderr
    assert renewed.stderr.count("Published ") == 1
    assert sorted(each.name for each in (tmp_path / "shelf").glob("*/[0-9]*")) == ["1", "2"]
    assert "| earlier |" in (tmp_path / "run" / "report.md").read_text()


def test_a_process_by_itself_is_a_team_that_sends_nothing():
    with Team.joined() as team:
        assert team == SOLO
        assert team.leads
        with team.turns():
            rows = np.arange(5)
            assert team.part(rows).tolist() == rows.tolist()


def test_parts_are_all_rows_once_and_all_of_them_where_there_are_too_few():
    rows = np.arange(7)
    parts = [Team(rank, 3).part(rows) for rank in range(3)]
    assert sorted(np.concatenate(parts).tolist()) == rows.tolist()
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert [Team(rank, 3).part(rows[:2]).tolist() for rank in range(3)] == [[0, 1]] * 3


def test_a_task_without_rows_is_left_out_and_the_parts_of_a_task_add_up():
    one, two = torch.tensor(2.0, requires_grad=True), torch.tensor(3.0, requires_grad=True)
    found = SOLO.losses(
        {"click": [Part(one, torch.tensor(4)), Part(two, 1.5)], "dwell": [Part(one * 0.0, torch.tensor(0))]}
    )
    assert list(found) == ["click"]
    assert found["click"].item() == pytest.approx(5.0)
    found["click"].backward()
    assert (one.grad, two.grad) == (torch.tensor(1.0), torch.tensor(1.0))
