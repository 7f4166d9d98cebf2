"""What an adapter hands over."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests.training.datasets.conftest import ADAPTERS, PUBLIC
from training import config
from training.datasets import collm, ebnerd, homedepot, movielens
from training.datasets.package import publish
from training.errors import DataError


@pytest.mark.parametrize("name", ["collm", "ebnerd", "homedepot", "movielens"])
def test_frames_lie_beside_a_configuration_that_reads(tmp_path: Path, name: str) -> None:
    path = publish(name, {"items": pl.DataFrame({"a": [1]})}, tmp_path / "new")
    read = config.read(path)
    assert read.name == name
    assert path.parent == read.folder
    assert pl.read_parquet(path.parent / "items.parquet").rows() == [(1,)]


@pytest.mark.parametrize("adapter", [collm.convert, ebnerd.convert, homedepot.convert, movielens.convert])
def test_an_adapter_names_the_file_that_it_misses(
    tmp_path: Path, adapter: Callable[[Path, Path], Path]
) -> None:
    with pytest.raises(DataError, match="no such file"):
        adapter(tmp_path / "nowhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["collm", "ebnerd", "homedepot", "movielens"])
def test_converting_twice_gives_the_same_bytes(converted, tmp_path: Path, name: str) -> None:
    first = converted(name).folder
    adapter, folder = ADAPTERS[name]
    second = adapter(PUBLIC / folder, tmp_path).parent
    for path in sorted(first.iterdir()):
        assert (second / path.name).read_bytes() == path.read_bytes()
