"""How an adapter hands over: frames as parquet beside the configuration that reads them."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import polars as pl


def publish(name: str, frames: Mapping[str, pl.DataFrame], target: Path) -> Path:
    """Write `<frame>.parquet` for each frame and `<name>.toml`, which travels in this package; its path."""
    target.mkdir(parents=True, exist_ok=True)
    for table, frame in frames.items():
        frame.write_parquet(target / f"{table}.parquet")
    path = target / f"{name}.toml"
    path.write_text(resources.files("training.datasets").joinpath(f"{name}.toml").read_text())
    return path
