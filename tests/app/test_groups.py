from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import polars as pl
import pytest

from app.catalogue import Catalogue
from app.groups import NOW, NUMBER, ROW, Groups
from model_store.items import Items
from tests.app.plain import manifest, parted

IDS = ("a", "b", "c")
MOMENT = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def groups():
    items = Items(IDS, parted(np.zeros((3, 4), np.float32)), np.zeros(3))
    return Groups(Catalogue(items, manifest(), parted), MOMENT)


def split(groups, **columns):
    asks, rest = groups.split(pl.DataFrame(columns))
    told = asks.sort(pl.col(NUMBER).list.first()).select("user_id", "query", NOW, NUMBER, ROW)
    return told.rows(), rest.to_list()


def test_rows_of_one_user_query_and_moment_are_one_ask(groups):
    users, queries = ["u", "v", "u", "u"], [None, None, None, "red"]
    found, rest = split(groups, item_id=["a", "c", "b", "a"], user_id=users, query=queries)
    now = MOMENT.timestamp()
    assert found == [
        ("u", None, now, [0, 2], [0, 1]), ("v", None, now, [1], [2]), ("u", "red", now, [3], [0]),
    ]  # fmt: skip
    assert rest == []


@pytest.mark.parametrize(
    "columns",
    [
        {"item_id": ["z"], "user_id": ["u"]},
        {"item_id": [None], "user_id": ["u"]},
        {"item_id": [1], "user_id": ["u"]},
        {"item_id": ["a"], "user_id": [None]},
        {"item_id": ["a"], "user_id": [""]},
        {"item_id": ["a"], "user_id": ["u" * 257]},
        {"item_id": ["a"], "user_id": ["u\0"]},
        {"item_id": ["a"], "user_id": [5]},
        {"item_id": ["a"], "user_id": ["u"], "query": [""]},
        {"item_id": ["a"], "user_id": ["u"], "query": ["q" * 2_001]},
        {"item_id": ["a"], "user_id": ["u"], "history": [[]]},
        {"item_id": ["a"], "user_id": ["u"], "text": [{"title": "x"}]},
        {"item_id": ["a"], "user_id": ["u"], "numbers": [{"price": 1.0}]},
        {"item_id": ["a"], "user_id": ["u"], "timestamp": ["yesterday"]},
        {"item_id": ["a"], "user_id": ["u"], "timestamp": [""]},
        {"item_id": ["a"], "user_id": ["u"], "timestamp": ["2026-11-22T12:00:00"]},
        {"item_id": ["a"], "user_id": ["u"], "timestamp": ["1969-11-22T12:00:00Z"]},
        {"item_id": ["a"], "user_id": ["u"], "timestamp": [MOMENT.replace(tzinfo=None)]},
        {"item_id": ["a"], "user_id": ["u"], "timestamp": [MOMENT.replace(year=2200)]},
        {"item_id": ["a"], "user_id": ["u"], "timestamp": [5]},
    ],
    ids=str,
)
def test_a_row_that_says_more_or_is_wrong_is_left_to_others(groups, columns):
    assert split(groups, **columns) == ([], [0])


@pytest.mark.parametrize(
    "columns",
    [
        {"item_id": ["a"], "query": ["q" * 2_000]},
        {"item_id": ["a"], "user_id": ["ü" * 256], "query": [None], "note": ["x"]},
        {"item_id": ["a"], "user_id": ["u"], "history": [None], "text": [None]},
        {"item_id": ["a"], "user_id": ["u"], "timestamp": [None]},
        {"item_id": ["a"], "user_id": ["u"], "timestamp": pl.Series([None], dtype=pl.String)},
    ],
    ids=str,
)
def test_what_is_left_out_makes_a_row_no_less_plain(groups, columns):
    [(*_, now, numbers, rows)], rest = split(groups, **columns)
    assert (now, numbers, rows, rest) == (MOMENT.timestamp(), [0], [0], [])


MOMENTS = [
    "2026-11-22T12:00:00Z", "2026-11-22T13:00:00.25+01:00", "2026-11-22T12:00:00Z", None,
]  # fmt: skip


def test_moments_are_read_as_a_request_says_them(groups):
    found, _ = split(groups, item_id=["a"] * 4, user_id=["u"] * 4, timestamp=MOMENTS)
    base = MOMENT.timestamp()
    assert [(now, numbers) for _, _, now, numbers, _ in found] == [(base, [0, 2, 3]), (base + 0.25, [1])]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_moments_may_be_times_of_any_unit_and_zone(groups, unit):
    times = [MOMENT, MOMENT.astimezone(timezone(timedelta(hours=2))) + timedelta(milliseconds=1)]
    column = (
        pl.Series(times, dtype=pl.Datetime("us", "UTC"))
        .dt.cast_time_unit(unit)
        .dt.convert_time_zone("Asia/Tokyo")
    )
    found, rest = split(groups, item_id=["a"] * 2, user_id=["u"] * 2, timestamp=column)
    assert [now for _, _, now, _, _ in found] == [time.timestamp() for time in times]
    assert rest == []


def test_no_rows_are_no_asks(groups):
    assert split(groups, item_id=pl.Series([], dtype=pl.String), user_id=pl.Series([], dtype=pl.String)) == (
        [],
        [],
    )
