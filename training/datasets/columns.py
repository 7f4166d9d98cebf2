"""What the cells of a column mean: ids, times, labels. Each parser returns values and, for bad cells, a reason.

ids       text; whole numbers written as such (12.0 -> "12")
names     ids that the service can be asked for
times     unix seconds in UTC: datetimes, ISO 8601 text, or numbers (milliseconds above 1e11)
flags     0/1, true/false, yes/no ... -> 0.0 or 1.0
numbers   finite floats
words     one class, as text
phrases   text as written
fields    what a text is made of, as a request can say it
tags      several values: a list, or text split at "|"

An empty cell is null, never bad by itself: whether it may be missing is the caller's to say.
"""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from model_store import limits
from model_store.manifest import TextField
from model_store.text import render

MILLISECONDS_FROM = 1e11  # seconds until the year 5138: a bigger number counts milliseconds
EARLIEST, LATEST = 315_532_800.0, 4_102_444_800.0  # 1980 and 2100
UNTIMELY = "not a timestamp (ISO 8601 or unix time)"
TRUE = ["1", "1.0", "true", "yes", "y", "t", "on"]
FALSE = ["0", "0.0", "false", "no", "n", "f", "off"]
ISO = r"^(\d{4}-\d{2}-\d{2})(?:[Tt ](\d{2}:\d{2})(:\d{2}(?:\.\d+)?)?\s*([Zz]|[+-]\d{2}:?\d{2}|[+-]\d{2})?)?$"
LISTED = r"""^\[\s*(?:['"].*['"]|[\d\s.,]*)\s*\]$"""  # printed: ['red', 'cup'], [1, 2], []
NUMBER = r"^[+-]?\d+(\.\d+)?([eE][+-]?\d+)?$"


@dataclass(frozen=True)
class Parsed:
    """Values (null where missing or bad) and reasons (null where good), one a row."""

    values: pl.Series
    reasons: pl.Series


Parser = Callable[[pl.Series], Parsed]


def ids(column: pl.Series) -> Parsed:
    """Identifiers as text."""
    if isinstance(column.dtype, pl.List | pl.Struct | pl.Array):
        return _all_bad(column, pl.String, "not one id but a list or an object")
    if column.dtype.is_float():
        bad = column.is_not_null() & ~(column.is_finite() & (column == column.round()))
        whole = column.set(bad, None).cast(pl.Int64, strict=False).cast(pl.String)
        return Parsed(whole, _reasons(bad, "not a whole number"))
    return Parsed(text(column), _good(column))


def names(column: pl.Series) -> Parsed:
    """Identifiers that requests name: items and users."""
    parsed = ids(column)
    strange = (parsed.values.str.len_chars() > limits.ID) | parsed.values.str.contains(
        limits.NUL, literal=True
    )
    bad = strange.fill_null(value=False)
    reasons = parsed.reasons.set(bad, f"longer than {limits.ID} characters, or with a NUL")
    return Parsed(parsed.values.set(bad, None), reasons)


def times(column: pl.Series) -> Parsed:
    """Times as unix seconds. Times without a zone are read as UTC; `zoned` tells which those are."""
    if isinstance(column.dtype, pl.Datetime | pl.Date):
        moments = column.cast(pl.Datetime("us")) if column.dtype == pl.Date else column
        return _in_range(column, moments.dt.epoch("us").cast(pl.Float64) / 1e6)
    if column.dtype.is_numeric():
        return _in_range(column, _scaled(column.cast(pl.Float64)))
    if column.dtype != pl.String:
        return _all_bad(column, pl.Float64, UNTIMELY)
    cells = text(column)
    numeric = _scaled(cells.set(~_matches(cells, NUMBER), None).cast(pl.Float64, strict=False))
    return _in_range(cells, _iso(cells).zip_with(numeric.is_null(), numeric))


def zoned(column: pl.Series) -> pl.Series:
    """For each cell: True if it fixes a moment (offset or unix time), False if not, null if unreadable."""
    if isinstance(column.dtype, pl.Datetime | pl.Date):
        return pl.select(
            pl.when(column.is_not_null()).then(pl.lit(_aware(column)))  # a column has one zone or none
        ).to_series()
    if column.dtype != pl.String:
        return column.is_not_null().set(column.is_null(), None)
    cells = text(column)
    offset = cells.str.extract(ISO, 4)
    known = _matches(cells, ISO) | _matches(cells, NUMBER)
    return (offset.is_not_null() | _matches(cells, NUMBER)).set(~known, None)


def flags(column: pl.Series) -> Parsed:
    """Truthy cells as 1.0, falsy ones as 0.0."""
    cells = text(column).str.to_lowercase()
    known = cells.is_in(TRUE) | cells.is_in(FALSE)
    bad = cells.is_not_null() & ~known.fill_null(value=True)
    values = cells.is_in(TRUE).cast(pl.Float64).set(bad, None)
    return Parsed(values, _reasons(bad, "neither 0/1 nor true/false nor yes/no"))


def numbers(column: pl.Series) -> Parsed:
    """Finite numbers."""
    if isinstance(column.dtype, pl.List | pl.Struct | pl.Array | pl.Datetime | pl.Date):
        return _all_bad(column, pl.Float64, "not a number")
    cells = text(column) if column.dtype == pl.String else column
    values = cells.cast(pl.Float64, strict=False)
    bad = cells.is_not_null() & values.is_null()
    endless = values.is_not_null() & ~values.is_finite()
    reasons = pl.select(
        pl.when(bad).then(pl.lit("not a number")).when(endless).then(pl.lit("not a finite number"))
    ).to_series()
    return Parsed(values.set(endless, None), reasons)


def logarithmic(column: pl.Series) -> Parsed:
    """Numbers of which log1p can be taken."""
    parsed = numbers(column)
    negative = (parsed.values < 0.0).fill_null(value=False)
    reasons = parsed.reasons.set(negative, "negative, but transform = log1p wants 0 or more")
    return Parsed(parsed.values.set(negative, None), reasons)


def words(column: pl.Series) -> Parsed:
    """One value, as text."""
    if isinstance(column.dtype, pl.List | pl.Struct | pl.Array):
        return _all_bad(column, pl.String, 'a list, not one value; use type = "multilabel"')
    return Parsed(text(column), _good(column))


def phrases(column: pl.Series) -> Parsed:
    """Text exactly as written, null where blank: queries, whose hash decides their split."""
    parsed = words(column)
    return Parsed(column.cast(pl.String).set(parsed.values.is_null(), None), parsed.reasons)


def tags(column: pl.Series) -> Parsed:
    """Several values; an empty list is null."""
    if isinstance(column.dtype, pl.Array):
        column = column.arr.to_list()
    listed = isinstance(column.dtype, pl.List)
    lists = column.cast(pl.List(pl.String)) if listed else text(column).str.split("|")
    frame = (
        lists.alias("tags")
        .to_frame()
        .select(
            pl.col("tags").list.eval(
                pl.element().str.strip_chars().filter(pl.element().str.strip_chars() != "")
            )
        )
    )
    values = frame.select(pl.when(pl.col("tags").list.len() > 0).then(pl.col("tags"))).to_series()
    if listed:
        return Parsed(values, _good(column))
    reason = "a list written as text; write red|cup, or lists in parquet or JSONL"
    return Parsed(values, _reasons(_matches(text(column), LISTED), reason))


def fields(column: pl.Series) -> pl.Series:
    """Cells as the service is told them, null where there is nothing: numbers, truth values, and words for all else.

    A date is none of JSON's values, and a text longer than the service takes would have it refuse the user.
    """
    if column.dtype.is_float():
        return column.set(~column.is_finite().fill_null(value=False), None)
    if column.dtype.is_integer() or column.dtype == pl.Boolean:
        return column
    template = [TextField(name="cell")]
    words = [None if cell is None else cell if isinstance(cell, str) else render(template, {"cell": cell})
             for cell in column.to_list()]  # fmt: skip
    said = pl.Series(column.name, words, pl.String)
    return said.str.replace_all(limits.NUL, "", literal=True).str.slice(0, limits.WORDS)


def text(column: pl.Series) -> pl.Series:
    """Cells as trimmed text, null where nothing is left; whole floats without their `.0`."""
    if column.dtype.is_float():
        whole = (column == column.round()) & column.is_finite() & (column.abs() < 1e15)
        plain = column.set(~whole, None).cast(pl.Int64, strict=False).cast(pl.String)
        return plain.zip_with(whole.fill_null(value=False), column.cast(pl.String))
    if isinstance(column.dtype, pl.List | pl.Struct | pl.Array):
        return pl.Series(column.name, [None if cell is None else str(cell) for cell in column], pl.String)
    cells = column.cast(pl.String).str.strip_chars()
    return cells.set(cells == "", None)


def equals(column: pl.Series, wanted: str) -> pl.Series:
    """Whether each cell is the wanted value, as text or as a number."""
    same = text(column) == wanted
    try:
        number = float(wanted)
    except ValueError:
        return same.fill_null(value=False)
    return (same | (text(column).cast(pl.Float64, strict=False) == number)).fill_null(value=False)


def _iso(cells: pl.Series) -> pl.Series:
    groups = cells.str.extract_groups(ISO).struct.unnest()
    day, minute, second, offset = (groups.to_series(number) for number in range(4))
    moment = day + " " + minute.fill_null("00:00") + second.fill_null(":00")
    base = moment.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", time_unit="us", strict=False).dt.epoch("us") / 1e6
    plain = offset.str.replace(":", "").str.replace("(?i)z", "+0000").fill_null("+0000").str.pad_end(5, "0")
    ahead = plain.str.slice(1, 2).cast(pl.Float64) * 3600.0 + plain.str.slice(3, 2).cast(pl.Float64) * 60.0
    sign = (plain.str.slice(0, 1) == "-").cast(pl.Float64) * -2.0 + 1.0
    return base - sign * ahead


def _scaled(numbers: pl.Series) -> pl.Series:
    return (numbers / 1e3).zip_with((numbers > MILLISECONDS_FROM).fill_null(value=False), numbers)


def _in_range(cells: pl.Series, seconds: pl.Series) -> Parsed:
    early = ~(seconds >= EARLIEST)  # NaN included
    late = seconds > LATEST
    reasons = pl.select(
        pl.when(cells.is_null()).then(None)
        .when(seconds.is_null() | seconds.is_nan()).then(pl.lit(UNTIMELY))
        .when(late).then(pl.lit("after 2100; unix times are seconds, or milliseconds"))
        .when(early).then(pl.lit("before 1980; unix times are seconds, or milliseconds"))
    ).to_series()  # fmt: skip
    return Parsed(seconds.set(reasons.is_not_null(), None), reasons)


def _aware(column: pl.Series) -> bool:
    return isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is not None


def _matches(cells: pl.Series, pattern: str) -> pl.Series:
    return cells.str.contains(pattern).fill_null(value=False)


def _reasons(bad: pl.Series, reason: str) -> pl.Series:
    return pl.select(pl.when(bad).then(pl.lit(reason))).to_series()


def _good(column: pl.Series) -> pl.Series:
    return pl.Series([None], dtype=pl.String).new_from_index(0, len(column))


def _all_bad(column: pl.Series, dtype: pl.DataType | type[pl.DataType], reason: str) -> Parsed:
    nothing = pl.Series([None], dtype=dtype).new_from_index(0, len(column))
    return Parsed(nothing, _reasons(column.is_not_null(), reason))
