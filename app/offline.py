"""Scoring a file on the path of /score: the same rows in the same order, one more column a task, and score.

Columns: item_id, and user_id, query or history (JSONL only); timestamp if the rows have moments.
Class tasks become a column of JSON. A row that cannot be scored has nulls, and why in `error`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from app.api.body import parse_or
from app.api.pairs import Pair, ScoreRequest, scored
from app.errors import Invalid, SettingsError
from app.metrics import Metrics, Stages
from app.model import Model

AT_ONCE = 256
COLUMNS = (
    "user_id",
    "item_id",
    "query",
    "timestamp",
    "history",
    "profile",
    "text",
    "attributes",
    "published",
)
READERS: Mapping[str, Callable[[Path], pl.DataFrame]] = {
    ".parquet": pl.read_parquet,
    ".csv": lambda path: pl.read_csv(path, infer_schema=False),
    ".jsonl": lambda path: pl.read_ndjson(path, infer_schema_length=None),
}
WRITERS: Mapping[str, Callable[[pl.DataFrame, Path], Any]] = {
    ".parquet": lambda frame, path: frame.write_parquet(path),
    ".csv": lambda frame, path: frame.write_csv(path),
    ".jsonl": lambda frame, path: frame.write_ndjson(path),
}


def read(path: Path) -> pl.DataFrame:
    """The rows of a file; SettingsError if its kind or its columns are unknown."""
    _kind(path)
    frame = READERS[path.suffix](path)
    if "item_id" not in frame.columns or not {"user_id", "history", "query"} & set(frame.columns):
        raise SettingsError(f"{path} has {frame.columns}; it needs item_id and user_id, query or history")
    return frame


def write(frame: pl.DataFrame, path: Path) -> None:
    """Write rows in the form that the name says."""
    WRITERS[_kind(path)](frame, path)


async def score(
    frame: pl.DataFrame, model: Model, metrics: Metrics, progress: Callable[[int], None]
) -> pl.DataFrame:
    """The frame with a column for each task, score and error."""
    names = [task.name for task in model.manifest.answered]
    results: list[dict[str, Any]] = []
    asked = frame.select(column for column in COLUMNS if column in frame.columns)
    for rows in asked.iter_slices(AT_ONCE):
        pairs = [_pair(row) for row in rows.iter_rows(named=True)]
        found, _ = await scored(pairs, ScoreRequest(), model, Stages(metrics))
        results += [_columns(result, names) for result in found]
        progress(len(rows))
    schema = {name: pl.Float64 if model.manifest.task(name).scalar else pl.String for name in names}
    columns = {**schema, "score": pl.Float64, "error": pl.String}
    return pl.concat([frame, pl.DataFrame(results, schema=columns)], how="horizontal")


def _pair(row: Mapping[str, Any]) -> Pair | Invalid:
    given = {name: value for name, value in row.items() if value is not None}
    if hasattr(given.get("timestamp"), "isoformat"):
        given["timestamp"] = given["timestamp"].isoformat()
    return parse_or(Pair, json.dumps(given, default=str).encode())


def _columns(result: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    tasks = result.get("tasks", {})
    values = {name: _cell(tasks.get(name)) for name in names}
    return values | {"score": result.get("score"), "error": result.get("error")}


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict) else value


def _kind(path: Path) -> str:
    if path.suffix not in READERS:
        raise SettingsError(f"{path} is none of {', '.join(READERS)}; rename or convert it")
    return path.suffix
