"""One file to one frame, by suffix: parquet, CSV, TSV or JSONL, the text formats with or without gzip.

CSV and TSV cells are read as text, so that "007" stays "007" and one bad cell spoils no column;
`columns` gives them their meaning.
"""

import difflib
import gzip
import zlib
from collections.abc import Mapping, Sequence, Set
from io import BytesIO
from pathlib import Path

import polars as pl

from training.errors import DataError

SUFFIXES = (".parquet", ".csv", ".csv.gz", ".tsv", ".tsv.gz", ".jsonl", ".jsonl.gz")


def read(path: Path) -> pl.DataFrame:
    """All rows of a file. DataError if it is missing, empty, of unknown kind or not what its suffix says."""
    suffix = _suffix(path)
    try:
        frame = pl.read_parquet(path) if suffix == ".parquet" else _text(path, suffix)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; paths are relative to the folder of the TOML file") from error
    except pl.exceptions.NoDataError as error:
        raise DataError(f"{path} is empty: not even a header; export the table again") from error
    except (pl.exceptions.PolarsError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read as {suffix}: {_reason(error)}") from error
    if not frame.height:
        raise DataError(f"{path} has no rows; export the table again, or take it out of `path`")
    return frame


def unpack(path: Path, encoding: str) -> str:
    """A gzipped text in an encoding other than UTF-8. DataError if it is missing or no such file."""
    try:
        return gzip.decompress(path.read_bytes()).decode(encoding)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; give the folder with the original files") from error
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be unpacked: {_reason(error)}") from error


def read_alike(paths: Sequence[Path], roles: Mapping[str, str], keys: Set[str]) -> list[pl.DataFrame]:
    """The files of one table, cut to the columns of `roles` (key of the TOML -> column).

    The columns of the roles in `keys` must be in every file, the others in one at least: a search log and a
    click log have each their own. Where one is absent it is filled with nulls.
    """
    frames = [read(path) for path in paths]
    somewhere = {column for frame in frames for column in frame.columns}
    wanted = sorted(set(roles.values()))
    for path, frame in zip(paths, frames, strict=True):
        needed = {role: name for role, name in roles.items() if role in keys or name not in somewhere}
        require(frame, needed, path)
    return [
        frame.with_columns(pl.lit(None, pl.String).alias(name) for name in wanted if name not in frame.columns)
        .select(wanted)
        for frame in frames
    ]  # fmt: skip


def require(frame: pl.DataFrame, roles: Mapping[str, str], path: Path) -> None:
    """Check that the columns are there. roles: key of the TOML -> column. DataError names the nearest one."""
    missing = [
        f"no column {column!r} ({role}){_nearest(column, frame.columns)}"
        for role, column in roles.items()
        if column not in frame.columns
    ]
    if missing:
        raise DataError(f"{path}: {'; '.join(missing)}. It has: {', '.join(frame.columns)}")


def _suffix(path: Path) -> str:
    found = [suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)]
    if not found:
        raise DataError(f"{path}: unknown kind of file; use one of {', '.join(SUFFIXES)}")
    return found[-1]


def _text(path: Path, suffix: str) -> pl.DataFrame:
    raw = path.read_bytes()
    if suffix.endswith(".gz"):
        raw = gzip.decompress(raw)
    if not raw.strip():
        raise pl.exceptions.NoDataError
    if suffix.startswith(".jsonl"):
        return pl.read_ndjson(BytesIO(raw), infer_schema_length=None)
    return pl.read_csv(BytesIO(raw), separator="\t" if suffix.startswith(".tsv") else ",", infer_schema=False)


def _reason(error: Exception) -> str:
    first = (str(error).splitlines() or [type(error).__name__])[0]
    if "utf-8" in first.lower():
        return "it is not UTF-8; save it as UTF-8"
    if "more fields than" in first:
        return "a row has more cells than the header; put quotes around values that hold the separator"
    return f"{first}; export the table again"


def _nearest(column: str, columns: list[str]) -> str:
    folded = {name.casefold(): name for name in columns}
    close = difflib.get_close_matches(column.casefold(), list(folded), n=1)
    return f", the nearest is {folded[close[0]]!r}" if close else ""
