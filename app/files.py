"""Files of rows: read a slice at a time and written part by part, so that memory does not grow with them.

<folder of the result>/.<result>.*/     gone when the result is there
    rows.parquet                        the rows of a CSV or JSONL file, which has no slices
    whole.*                             the result in the making
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

from app.errors import SettingsError

GROUP = 32_768  # rows that are held until they are written

READERS: Mapping[str, Callable[[Path], pl.LazyFrame]] = {
    ".parquet": pl.scan_parquet,
    ".csv": lambda path: pl.scan_csv(path, infer_schema=False),
    ".jsonl": lambda path: pl.scan_ndjson(path, infer_schema_length=None),
}
WRITERS: Mapping[str, Callable[[pl.LazyFrame, Path], Any]] = {
    ".parquet": lambda frame, path: frame.sink_parquet(path, compression="snappy", row_group_size=GROUP),
    ".csv": lambda frame, path: frame.sink_csv(path),
    ".jsonl": lambda frame, path: frame.sink_ndjson(path),
}


class Files:
    """What one file is made into another with; `folder` is theirs alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def scan(self, path: Path) -> pl.LazyFrame:
        """The rows of a file; SettingsError if it cannot be read."""
        kind = _kind(path)
        try:
            frame = READERS[kind](path)
            if kind != ".parquet":
                frame.sink_parquet(self._folder / "rows.parquet", compression="lz4")
                frame = pl.scan_parquet(self._folder / "rows.parquet")
            frame.collect_schema()
        except (OSError, pl.exceptions.PolarsError) as error:
            raise SettingsError(f"{path} cannot be read: {error}") from error
        return frame

    def write(self, path: Path, parts: Iterator[pl.DataFrame], schema: Mapping[str, pl.DataType]) -> None:
        """Put parts into one file, each when it is asked for; what goes wrong with one comes out as it is."""
        whole = self._folder / f"whole{path.suffix}"
        WRITERS[_kind(path)](register_io_source(lambda *_: parts, schema=dict(schema)), whole)
        os.replace(whole, path)  # a run that fails leaves no half of a file


@contextmanager
def beside(path: Path) -> Iterator[Files]:
    """Room for making a file; SettingsError if it cannot be made there."""
    _kind(path)
    if not path.parent.is_dir():
        raise SettingsError(f"{path} cannot be written: {path.parent} is no folder; make it")
    with TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
        yield Files(Path(folder))


def _kind(path: Path) -> str:
    if path.suffix not in READERS:
        raise SettingsError(f"{path} is none of {', '.join(READERS)}; rename or convert it")
    return path.suffix
