"""What an adapter hands over."""

from pathlib import Path

import polars as pl
import pytest

from training import config
from training.datasets.package import publish


@pytest.mark.parametrize("name", ["ebnerd", "homedepot", "movielens"])
def test_frames_lie_beside_a_configuration_that_reads(tmp_path: Path, name: str) -> None:
    path = publish(name, {"items": pl.DataFrame({"a": [1]})}, tmp_path / "new")
    read = config.read(path)
    assert read.name == name
    assert path.parent == read.folder
    assert pl.read_parquet(path.parent / "items.parquet").rows() == [(1,)]
