"""Times with and without a zone do not mix."""

from pathlib import Path

import polars as pl
import pytest

from training.datasets.zones import Zones
from training.errors import DataError


def see(*columns: list[str]) -> None:
    zones = Zones()
    for number, cells in enumerate(columns):
        zones.see(pl.Series("at", cells), "events.timestamp", Path(f"{number}.csv"))


def test_all_with_or_all_without_pass() -> None:
    see(["2023-01-01T00:00Z", "2023-01-01T00:00+02:00"], ["1684411200"])
    see(["2023-01-01 00:00"], ["2023-01-02", "nonsense"])


@pytest.mark.parametrize(
    "columns", [(["2023-01-01T00:00", "2023-01-01T00:00Z"],), (["2023-01-01T00:00"], ["2023-01-01T00:00Z"])]
)
def test_a_mixture_is_refused_within_and_across_files(columns: tuple[list[str], ...]) -> None:
    with pytest.raises(DataError, match=r"mixes times with a zone, .*Z\), and without, 0.csv row 1"):
        see(*columns)
