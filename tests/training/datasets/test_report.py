"""Counting and telling of bad rows."""

import pytest

from training.datasets.report import BadRows, Report, check_share
from training.errors import DataError

LATE = BadRows("events", "log.csv", "at", "not a timestamp", 5, ((3, "'soon'"), (9, "'later'"), (12, "'x'")))
LOST = BadRows("events", "log.csv", "item", "missing", 1, ((4, "empty"),))


def test_lines_tell_counts_places_and_reasons() -> None:
    report = Report().with_table("items", 10, 10, []).with_table("events", 1_200, 1_194, [LATE, LOST])
    assert report.lines() == [
        "items: 10 rows read, 0 bad (0.00%) kept out",
        "events: 1,200 rows read, 6 bad (0.50%) kept out",
        "  log.csv, column at: not a timestamp: 5 (row 3 ('soon'), row 9 ('later'), row 12 ('x'), ...)",
        "  log.csv, column item: missing: 1 (row 4 (empty))",
    ]


def test_a_share_within_the_limit_passes() -> None:
    check_share("events", 600, [LATE, LOST], 0.01)


def test_a_share_past_the_limit_stops_with_count_share_examples_and_fix() -> None:
    with pytest.raises(
        DataError, match=r"events: 6 of 100 rows are bad \(6.0%\), more than training.bad_rows = 1.0%"
    ):
        check_share("events", 100, [LATE, LOST], 0.01)
    with pytest.raises(DataError, match=r"row 3 \('soon'\).*Mend them, or raise training.bad_rows"):
        check_share("events", 100, [LATE, LOST], 0.01)


def test_all_rows_bad_stops_whatever_the_limit() -> None:
    with pytest.raises(DataError, match="6 of 6"):
        check_share("events", 6, [LATE, LOST], 0.999)
