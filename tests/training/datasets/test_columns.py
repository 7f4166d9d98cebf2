"""The meaning of cells."""

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.datasets import columns

NOON = 1_684_411_200.0  # 2023-05-18T12:00:00Z
MOMENTS = st.datetimes(datetime(1980, 1, 2), datetime(2099, 12, 30), timezones=st.just(UTC))
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@pytest.mark.parametrize(
    "written",
    ["2023-05-18T12:00:00Z", "2023-05-18t12:00:00z", "2023-05-18 12:00:00+00:00", "2023-05-18T14:00+0200",
     "2023-05-18T14:00:00+02", "2023-05-18T06:30:00.000-05:30", "2023-05-18T12:00:00", "2023-05-18 12:00",
     " 2023-05-18T12:00:00Z ", "1684411200", "1684411200.0", "1684411200000", "1.6844112e9"],
)  # fmt: skip
def test_a_time_is_read_however_it_is_written(written: str) -> None:
    assert columns.times(pl.Series([written])).values.to_list() == [NOON]


@pytest.mark.parametrize(
    "column",
    [
        pl.Series([datetime(2023, 5, 18, 12, tzinfo=UTC)]),
        pl.Series([datetime(2023, 5, 18, 12)]),
        pl.Series([datetime(2023, 5, 18, 12, tzinfo=UTC)]).dt.convert_time_zone("Europe/Copenhagen"),
        pl.Series([datetime(2023, 5, 18, 12)]).dt.cast_time_unit("ms"),
        pl.Series([int(NOON)]),
        pl.Series([int(NOON * 1000)]),
        pl.Series([NOON]),
    ],
)
def test_a_column_of_any_time_type_is_unix_seconds(column: pl.Series) -> None:
    assert columns.times(column).values.to_list() == [NOON]


def test_a_day_alone_is_its_first_moment() -> None:
    assert columns.times(pl.Series([date(2023, 5, 18)])).values.to_list() == [NOON - 43_200]
    assert columns.times(pl.Series(["2023-05-18"])).values.to_list() == [NOON - 43_200]


@given(moment=MOMENTS, offset=OFFSETS)
def test_iso_times_are_read_as_python_reads_them(moment: datetime, offset: timezone) -> None:
    written = moment.astimezone(offset).isoformat()
    assert columns.times(pl.Series([written])).values[0] == pytest.approx(moment.timestamp(), abs=1e-5)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [("yesterday", "not a timestamp"), ("2023-13-01T00:00:00Z", "not a timestamp"), ("1975-01-01", "before 1980"),
     ("0", "before 1980"), ("20230518", "before 1980"), ("2200-01-01T00:00:00Z", "after 2100"),
     ("1684411200000000", "after 2100"), ("12/05/2023", "not a timestamp")],
)  # fmt: skip
def test_a_time_that_cannot_be_meant_is_bad(cell: str, reason: str) -> None:
    parsed = columns.times(pl.Series([cell]))
    assert parsed.values.to_list() == [None]
    assert parsed.reasons[0].startswith(reason)


def test_an_empty_cell_is_null_and_not_bad() -> None:
    empty = pl.Series(["", "  ", None])
    for parser in (columns.ids, columns.times, columns.flags, columns.numbers, columns.words, columns.tags):
        parsed = parser(empty)
        assert parsed.values.null_count() == 3
        assert parsed.reasons.null_count() == 3


@pytest.mark.parametrize("parser", [columns.ids, columns.times, columns.flags, columns.numbers])
def test_a_column_without_a_type_is_null_and_not_bad(parser: columns.Parser) -> None:
    parsed = parser(pl.Series([None, None]))
    assert (parsed.values.null_count(), parsed.reasons.null_count()) == (2, 2)


def test_flags_know_the_usual_words() -> None:
    parsed = columns.flags(pl.Series(["1", "0", "TRUE", "False", "yes", "no", "maybe", None]))
    assert parsed.values.to_list() == [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, None, None]
    assert parsed.reasons.is_not_null().to_list() == [False] * 6 + [True, False]
    assert columns.flags(pl.Series([True, False, None])).values.to_list() == [1.0, 0.0, None]
    assert columns.flags(pl.Series([1.0, 0.0, 2.0])).reasons.is_not_null().to_list() == [False, False, True]


def test_numbers_are_finite() -> None:
    parsed = columns.numbers(pl.Series(["1.5", "-2", "1e3", "inf", "nan", "many"]))
    assert parsed.values.to_list() == [1.5, -2.0, 1000.0, None, None, None]
    assert parsed.reasons.to_list()[3:] == ["not a finite number", "not a finite number", "not a number"]


def test_negative_numbers_have_no_logarithm() -> None:
    parsed = columns.logarithmic(pl.Series([0.0, 3.0, -1.0]))
    assert parsed.values.to_list() == [0.0, 3.0, None]
    assert parsed.reasons[2].startswith("negative")


def test_ids_are_text_as_written() -> None:
    assert columns.ids(pl.Series(["007", " a b "])).values.to_list() == ["007", "a b"]
    assert columns.ids(pl.Series([12, None])).values.to_list() == ["12", None]
    parsed = columns.ids(pl.Series([12.0, 1.5, None]))
    assert parsed.values.to_list() == ["12", None, None]
    assert parsed.reasons.to_list() == [None, "not a whole number", None]
    assert columns.ids(pl.Series([["a"]])).reasons[0] == "not one id but a list or an object"


def test_names_are_ids_that_the_service_takes() -> None:
    parsed = columns.names(pl.Series(["a" * 256, "a" * 257, "a\0b", None]))
    assert parsed.values.to_list() == ["a" * 256, None, None, None]
    reason = "longer than 256 characters, or with a NUL"
    assert parsed.reasons.to_list() == [None, reason, reason, None]
    assert columns.names(pl.Series([1.5])).reasons[0] == "not a whole number"


@pytest.mark.parametrize(
    ("column", "told"),
    [
        (pl.Series(["Odense", " a  b ", "", None]), ["Odense", " a  b ", "", None]),
        (pl.Series(["a\0b", "x" * 20_001]), ["ab", "x" * 20_000]),
        (pl.Series([1980, None]), [1980, None]),
        (pl.Series([1980.0, 1.5, float("nan"), float("inf"), None]), [1980.0, 1.5, None, None, None]),
        (pl.Series([True, None]), [True, None]),
        (pl.Series([date(2020, 1, 31), None]), ["2020-01-31", None]),
        (pl.Series([datetime(2020, 1, 31, 8)]), ["2020-01-31 08:00:00"]),
        (pl.Series([Decimal("1.50")]), ["1.50"]),
        (pl.Series([["da", "en"], [], None]), ["da, en", "", None]),
        (pl.Series([[1, 2]]), ["1, 2"]),
    ],
)
def test_fields_are_what_a_request_can_say(column: pl.Series, told: list[object]) -> None:
    found = columns.fields(column).to_list()
    assert found == told
    assert json.loads(json.dumps(found, allow_nan=False)) == told


def test_tags_are_lists_or_split_text() -> None:
    assert columns.tags(pl.Series(["a | b", "c", "|"])).values.to_list() == [["a", "b"], ["c"], None]
    assert columns.tags(pl.Series([["a", " "], [], None])).values.to_list() == [["a"], None, None]
    assert columns.tags(pl.Series([[1, 2]])).values.to_list() == [["1", "2"]]
    assert columns.tags(pl.Series([7, None])).values.to_list() == [["7"], None]


def test_a_list_that_was_printed_into_a_cell_is_no_tag() -> None:
    cells = ["['red', 'cup']", '["red"]', "[1, 2]", "[]", "['red' 'cup']", "[new]", "red [new]", "red", None]
    reasons = columns.tags(pl.Series(cells)).reasons.to_list()
    assert [reason is not None for reason in reasons] == [True] * 5 + [False] * 4
    assert reasons[0] == "a list written as text; write red|cup, or lists in parquet or JSONL"


def test_phrases_keep_their_spaces() -> None:
    assert columns.phrases(pl.Series([" red  shoes", "  "])).values.to_list() == [" red  shoes", None]


def test_values_are_equal_as_text_or_as_numbers() -> None:
    assert columns.equals(pl.Series(["5", "5.0", "4", None]), "5").to_list() == [True, True, False, False]
    assert columns.equals(pl.Series([5, 4]), "5").to_list() == [True, False]
    assert columns.equals(pl.Series(["buy", "view"]), "buy").to_list() == [True, False]


def test_zoned_tells_moments_from_wall_clocks() -> None:
    cells = pl.Series(["2023-05-18T12:00Z", "2023-05-18T12:00", "2023-05-18", "1684411200", "soon", None])
    assert columns.zoned(cells).to_list() == [True, False, False, True, None, None]
