"""Small tables on disk with a file that says what to search, as people have them."""

from pathlib import Path
from typing import Any

import polars as pl
import tomlkit

from tests.training import toy

SPACE = {
    "training.lr_heads": {"low": 1e-4, "high": 1e-1, "log": True},
    "model.sharing": ["mmoe", "shared_bottom"],
}


def tables(folder: Path, *, flipped_after: float | None = None) -> None:
    """Lists of the toy log; clicks from some time on can be turned into passes and the other way round."""
    toy.items().select("text", item_id="item").write_parquet(folder / "items.parquet")
    rows = [row for row in toy.log(impressions=120) if row["user"] and row["click"] is not None]
    seen = [
        {
            **{key: row[key] for key in ("user", "time", "impression")},
            "query": row["query"] or ("odd" if row["user"] < "u3" else "even"),
            "item_id": row["item"],
            "clicked": int(row["click"] != (flipped_after is not None and row["time"] >= flipped_after)),
        }
        for row in rows
    ]
    pl.DataFrame(seen).write_parquet(folder / "events.parquet")


def record(bert: Path, **search: Any) -> dict[str, Any]:
    """A configuration with `[search]`."""
    return {
        "name": "toy",
        "items": {"path": "items.parquet", "text": ["text"]},
        "events": {
            "path": "events.parquet", "user": "user", "timestamp": "time", "impression": "impression",
            "query": "query",
        },
        "history": {"events": {"click": "clicked"}, "limit": 4},
        "split": {"validation": 0.25, "test": 0.25},
        "features": {"use": ["hour", "since_last", "history_size"]},
        "tasks": {"click": {"type": "binary", "label": "clicked", "main": True}},
        "model": {"encoder": str(bert), "dimension": 8, "hidden": 8, "experts": 2, "max_tokens": 16},
        "training": {"epochs": 2, "batch": 16, "lr_heads": 3e-3},
        "search": {"metric": "click:auc", "trials": 3, "pruning": "none", "space": SPACE, **search},
    }  # fmt: skip


def write(folder: Path, bert: Path, *, flipped_after: float | None = None, **search: Any) -> Path:
    """Tables and a configuration in a folder; the configuration's path."""
    folder.mkdir(parents=True, exist_ok=True)
    tables(folder, flipped_after=flipped_after)
    path = folder / "toy.toml"
    path.write_text("# how it is\n" + tomlkit.dumps(record(bert, **search)))
    return path
