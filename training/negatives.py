"""Items drawn at random beside what was clicked, for logs that do not tell what was shown.

Only items that could have been shown are drawn: one that came out later has an age of 0 at the row's moment, and a
model would learn from it that what is new is never clicked.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from training.config import Config
from training.errors import DataError


def beside(rows: pl.DataFrame, items: pl.DataFrame, config: Config) -> pl.DataFrame:
    """Beside each row without an impression, `events.negatives` items of the log at random, labelled 0."""
    generator = np.random.default_rng(config.training.seed)
    alone = rows.filter(pl.col("impression").is_null())
    copies = alone.select(pl.all().repeat_by(config.events.negatives).explode()) if len(alone) else alone
    catalogue = rows.select("item").unique(maintain_order=True).join(items, on="item", maintain_order="left")
    if len(catalogue) < 2:
        raise DataError("events.negatives: the log names one item only; there is no other to draw")
    catalogue = catalogue.select("item", pl.col("published").fill_null(-np.inf)).sort(
        "published", maintain_order=True
    )
    place = {item: number for number, item in enumerate(catalogue["item"])}
    own = np.array([place[item] for item in copies["item"]], dtype=np.int64)
    out = np.searchsorted(catalogue["published"].to_numpy(), copies["time"].to_numpy(), side="right")
    others, drawn = _others(own, out, generator)
    nothing = pl.lit([], dtype=pl.List(pl.String))
    copies = copies.with_columns(item=catalogue["item"][others.tolist()], events=nothing).filter(drawn)
    copies = copies.with_columns(_unlabelled(copies, config))
    both = pl.concat([rows.with_columns(drawn=0), copies.with_columns(drawn=1)], how="vertical_relaxed")
    return both.sort("shown_at", "first", "row", "drawn", maintain_order=True).drop("drawn")


def _others(
    own: NDArray[np.int64], out: NDArray[np.int64], generator: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """For each place `own` (n,) another one below `out` (n,), and whether there is one."""
    pools = out - (own < out)
    others = (generator.random(len(own)) * pools).astype(np.int64)
    return others + ((own < out) & (others >= own)), pools > 0


def _unlabelled(copies: pl.DataFrame, config: Config) -> list[pl.Expr]:
    """0 for the tasks that learn what is clicked, where the row has a label; of all else nothing is known."""
    told = []
    for name, task in config.tasks.items():
        column = f"label:{name}"
        if column in copies.columns:
            negative = pl.when(pl.col(column).is_not_null()).then(0.0)
            learns = task.type == "binary" and task.inputs in ("pair", "user_item")
            told.append((negative if learns else pl.lit(None)).alias(column))
        if f"text:{name}" in copies.columns:
            told.append(pl.lit(None, dtype=pl.String).alias(f"text:{name}"))
    return told
