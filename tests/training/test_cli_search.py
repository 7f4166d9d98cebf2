"""`chorus-train search` as people type it."""

from pathlib import Path

import pytest

from tests.training.search.tables import write
from tests.training.test_cli import plain, typed
from training.config import read


@pytest.fixture
def small(bert: Path, tmp_path: Path) -> Path:
    """A configuration with a search, beside small tables."""
    return write(tmp_path / "data", bert)


def test_a_search_ends_with_a_file_for_the_next_run_and_says_so(small: Path, tmp_path):
    folder = tmp_path / "found"
    code, output = typed("search", small, "--run", folder, "--trials", 2)
    assert code == 0
    assert f"train with: chorus-train run {folder / 'best.toml'}" in plain(output)
    assert read(folder / "best.toml").training.metric == "click:auc"
    code, output = typed("search", small, "--run", folder, "--trials", 3, "--resume")
    assert code == 0
    assert (folder / "search.md").read_text().count("| whole |") == 3


def test_a_wrong_key_ends_the_command_with_its_name(small: Path, tmp_path):
    small.write_text(small.read_text().replace("training.lr_heads", "training.rate"))
    code, output = typed("search", small, "--run", tmp_path / "found")
    assert code == 2
    assert 'with "training.rate"' in plain(output)
    assert "unknown key" in plain(output)
    assert not (tmp_path / "found").exists()
