"""A good shop is read as drawn in docs/data.md; each way of spoiling it has its message.

`pytest tests/training/datasets/test_tables.py -s` prints every case with what the engineer would see.
"""

import gzip
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.training.datasets import shop
from training.datasets import tables
from training.errors import DataError

MANY = shop.EVENTS + "".join(f"ann,1,2023-05-05T10:00:{second % 60:02d}Z,1,,1,web\n" for second in range(296))
BROKEN = "ann,1,2023-05-05T10:00:00Z,1,,1,web"


def test_a_good_shop_is_read_as_promised(tmp_path: Path) -> None:
    read = tables.read(shop.write(tmp_path))
    assert read.report.lines() == [
        "items: 3 rows read, 0 bad (0.00%) kept out",
        "events: 4 rows read, 0 bad (0.00%) kept out",
        "users: 2 rows read, 0 bad (0.00%) kept out",
    ]
    assert read.items.rows(named=True)[0] == {
        "item": "1", "text": "Red mug. brand: Acme", "published": 1672531200.0,
        "attribute:tags": ["red", "cup"], "label:brand": ["red", "cup"],
    }  # fmt: skip
    assert read.items.row(2) == ("3", "Green hat", None, None, None)
    assert read.users is not None
    assert read.users.select("user", "profile").rows() == [("ann", "Oslo"), ("bob", "")]


def test_events_are_oldest_first_with_what_they_are(tmp_path: Path) -> None:
    events = tables.read(shop.write(tmp_path)).events
    assert events["time"].to_list() == [1682928000.0, 1683021600.0, 1683108000.0, 1683194400.0]
    assert events["events"].to_list() == [[], ["click"], ["click", "app"], ["app"]]
    assert events["label:click"].to_list() == [0.0, 1.0, 1.0, 0.0]
    assert events["label:dwell"].to_list() == [None, 12.5, 3.0, 0.0]
    assert events.schema["impression"] == events.schema["query"] == pl.String
    assert events.schema["events"] == pl.List(pl.String)


def test_rows_of_one_moment_keep_the_order_of_the_file(tmp_path: Path) -> None:
    rows = [f"ann,{item},2023-05-02T10:00:00Z,{item % 2},,1,app\n" for item in (3, 1, 2, 1, 3)]
    events = tables.read(
        shop.write(tmp_path, events=shop.EVENTS.splitlines(keepends=True)[0] + "".join(rows))
    ).events
    assert events["item"].to_list() == ["3", "1", "2", "1", "3"]


def test_several_files_are_one_table_and_types_may_differ(tmp_path: Path) -> None:
    config = shop.write(tmp_path, sections={"events": {"path": ["events.csv", "more.parquet"]}})
    more = {"user_id": ["ann"], "item_id": [2], "at": [1_683_000_000], "clicked": [True], "kind": ["web"]}
    pl.DataFrame(more).write_parquet(tmp_path / "more.parquet")
    events = tables.read(config).events
    assert events.height == 5
    assert events.row(1, named=True) == {
        "item": "2", "query": None, "user": "ann", "time": 1_683_000_000.0, "impression": None,
        "events": ["click"], "label:click": 1.0, "label:dwell": None,
    }  # fmt: skip


STATED = {"events": {"context": ["kind"], "numbers": ["dwell"]}, "items": {"numbers": ["weight"]}}
WEIGHED = "item_id,title,brand,tags,listed,weight\n1,Red mug,,cup,,0.3\n2,Blue mug,,,,\n3,Green hat,,,,-1e2\n"


def test_words_and_numbers_stand_beside_the_labels_empty_ones_missing(tmp_path: Path) -> None:
    read = tables.read(shop.write(tmp_path, sections=STATED, items=WEIGHED))
    assert read.items["number:weight"].to_list() == [0.3, None, -100.0]
    assert read.events["context:kind"].to_list() == ["web", "web", "app", "app"]
    assert read.events["number:dwell"].to_list() == [None, 12.5, 3.0, 0.0]
    assert read.events["label:dwell"].to_list() == [None, 12.5, 3.0, 0.0]
    assert read.report.bad == ()


def test_words_and_numbers_that_nobody_names_are_not_kept(tmp_path: Path) -> None:
    read = tables.read(shop.write(tmp_path))
    assert not [name for name in read.events.columns if name.startswith(("context:", "number:"))]
    assert not [name for name in read.items.columns if name.startswith("number:")]


def test_whole_numbers_as_words_are_text_and_a_file_without_the_column_leaves_it_missing(
    tmp_path: Path,
) -> None:
    sections = {
        "events": {"path": ["events.csv", "more.parquet"], "context": ["device"], "numbers": ["stock"]}
    }
    config = shop.write(tmp_path, sections=sections)
    more = {"user_id": ["ann"], "item_id": [2], "at": [1_683_000_000], "device": [2], "stock": [7]}
    pl.DataFrame(more).write_parquet(tmp_path / "more.parquet")
    events = tables.read(config).events
    assert events["context:device"].to_list() == [None, "2", None, None, None]
    assert events["number:stock"].to_list() == [None, 7.0, None, None, None]


def test_a_user_may_be_missing_where_there_is_a_query(tmp_path: Path) -> None:
    events = shop.EVENTS.replace("bought", "query").replace("bob,1,", ",1,")
    read = tables.read(shop.write(tmp_path, events=events, sections={"events": {"query": "query"}}))
    assert read.events["user"].to_list() == ["ann", "ann", None, "bob"]
    assert read.report.bad == ()


def test_bad_rows_within_the_limit_are_kept_out_and_reported(tmp_path: Path) -> None:
    spoilt = MANY + BROKEN.replace("2023-05-05", "May 5") + "\n" + BROKEN.replace(",1,2023", ",9,2023") + "\n"
    report = tables.read(shop.write(tmp_path, events=spoilt)).report
    assert report.kept["events"] == 300
    assert report.lines()[1:4] == [
        "events: 302 rows read, 2 bad (0.66%) kept out",
        "  events.csv, column item_id: no such item in items: 1 (row 302 ('9'))",
        "  events.csv, column at: not a timestamp (ISO 8601 or unix time): 1 (row 301 ('May 5T10:00:00Z'))",
    ]


def spoilt(table: str, *changes: tuple[str, str]) -> dict[str, Any]:
    text = {"items": shop.ITEMS, "users": shop.USERS, "events": shop.EVENTS}[table]
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return {table: text}


def events(old: str, new: str) -> dict[str, Any]:
    return spoilt("events", (old, new))


def items(old: str, new: str) -> dict[str, Any]:
    return spoilt("items", (old, new))


def sections(**changed: dict[str, Any]) -> dict[str, Any]:
    return {"sections": changed}


ALWAYS = spoilt("events", (",0,,", ",1,,"), ("false", "true"))
NEVER = spoilt("events", ("Z,1,no", "Z,0,no"), ("yes", "no"))
UNSAID = spoilt("events", ("12.5", ""), ("1,3,app", "1,,app"), ("0,0,app", "0,,app"))


CASES = {
    "file missing": (sections(items={"path": "itms.csv"}), "itms.csv: no such file"),
    "kind unknown": (sections(items={"path": "items.xlsx"}), "items.xlsx: unknown kind of file; use one of"),
    "file empty": ({"events": ""}, "events.csv is empty"),
    "header only": ({"events": shop.EVENTS.split("\n")[0]}, "events.csv has no rows"),
    "not UTF-8": ({"items": shop.ITEMS.replace("Red", "R\xe9d").encode("latin-1")}, "it is not UTF-8"),
    "too many cells": (events("web\nann", "web,,\nann"), "a row has more cells than the header"),
    "not gzip": (sections(events={"path": "plain.csv.gz"}), "plain.csv.gz cannot be read as .csv.gz"),
    "gzip cut short": (sections(events={"path": "short.csv.gz"}), "short.csv.gz cannot be read as .csv.gz"),
    "parquet is not": (sections(events={"path": "bad.parquet"}), "bad.parquet cannot be read as .parquet"),
    "JSON cut short": (sections(events={"path": "bad.jsonl"}), "bad.jsonl cannot be read as .jsonl"),
    "item column missing": (events("item_id", "itemid"), r"'item_id' \(events.item\), the nearest is 'itemid'"),
    "label column missing": (events("dwell", "dwel"), r"'dwell' \(tasks.dwell.label\), the nearest is 'dwel'"),
    "text column missing": (items("title", "name"), r"'title' \(items.text, title\). It has: item_id, name"),
    "user column missing": ({"users": "id,city\nann,Oslo\n"}, r"no column 'user_id' \(users.id\). It has: id, city"),
    "items twice": (items("\n2,", "\n1,"), r"items: 1 ids appear more than once \(1\)"),
    "users twice": (spoilt("users", ("bob", "ann")), r"users: 1 ids appear more than once \(ann\)"),
    "zones mixed": (events("05-04T10:00:00Z", "05-04T10:00:00"), "mixes times with a zone, .* row 1 .* row 4"),
    "zones mixed in items": (items("02T00:00:00Z", "02T00:00:00"), "items.time: column 'listed' mixes"),
    "time nonsense": (events("2023-05-04T10:00:00Z", "soon"), r"at: not a timestamp .* unix time\): 1 \(row 4"),
    "time missing": (events("2023-05-04T10:00:00Z", ""), r"column at: missing: 1 \(row 4 \(empty\)\)"),
    "far future": (events("2023-05-04", "2203-05-04"), "column at: after 2100; unix times are seconds"),
    "before 1980": (events("2023-05-04T10:00:00Z", "1683"), r"column at: before 1980; .*\(row 4 \('1683'\)\)"),
    "item missing": (events("bob,3,", "bob,,"), r"column item_id: missing: 1 \(row 4 \(empty\)\)"),
    "item unknown": (events("bob,3,", "bob,4,"), r"column item_id: no such item in items: 1 \(row 4 \('4'\)\)"),
    "user missing": (events("bob,3,", ",3,"), r"column user_id: missing: 1 \(row 4"),
    "flag nonsense": (events("yes,1", "maybe,1"), r"clicked: neither 0/1 nor .* \(row 3 \('maybe'\)\)"),
    "number nonsense": (events("12.5", "long"), r"dwell: not a number: 1 \(row 1 \('long'\)\)"),
    "number infinite": (events("12.5", "inf"), "dwell: not a finite number"),
    "log of a negative": (events("12.5", "-3"), "dwell: negative, but transform = log1p wants 0 or more"),
    "item without text": (items("Green hat", " "), "column title: no text in any of title, brand: 1"),
    "item without id": (items("3,Green", ",Green"), "column item_id: missing"),
    "context column missing": (
        sections(events={"context": ["kinds"]}), r"'kinds' \(events.context, kinds\), the nearest is 'kind'",
    ),
    "number column missing": (
        sections(items={"numbers": ["weight"]}), r"'weight' \(items.numbers, weight\). It has: item_id, title",
    ),
    "told number missing": (
        sections(events={"numbers": ["dwel"]}), r"'dwel' \(events.numbers, dwel\), the nearest is 'dwell'",
    ),
    "number of an item nonsense": (
        {"items": WEIGHED.replace("0.3", "heavy")} | sections(items={"numbers": ["weight"]}),
        r"column weight: not a number: 1 \(row 1 \('heavy'\)\)",
    ),
    "told number infinite": (
        events("app\nbob", "inf\nbob") | sections(events={"numbers": ["kind"]}), "column kind: not a number: 3",
    ),
    "all rows bad": (
        {"events": MANY.replace("2023", "soon")} | sections(training={"bad_rows": 0.999}),
        "300 of 300 rows are bad",
    ),
    "label without values": (UNSAID, "tasks.dwell: column 'dwell' has no value; fill it or remove the task"),
    "never positive": (NEVER, "tasks.click: column 'clicked' is always 0; the rows of the other class are missing"),
    "always positive": (ALWAYS, "tasks.click: column 'clicked' is always 1; set events.negatives to draw some"),
    "always positive in lists": (
        ALWAYS | sections(events={"impression": "kind"}), "always 1; the rows of the other class are missing",
    ),
    "history event unseen": (
        sections(history={"events": {"call": "kind=phone"}}), "history.events.call: no row has 'kind=phone'",
    ),
}  # fmt: skip


def lay(folder: Path) -> None:
    """Files that are not what their suffix says."""
    (folder / "plain.csv.gz").write_text(shop.EVENTS)
    (folder / "short.csv.gz").write_bytes(gzip.compress(shop.EVENTS.encode())[:40])
    (folder / "bad.parquet").write_bytes(b"PAR1 nothing of the kind PAR1")
    (folder / "bad.jsonl").write_text('{"item_id": 1}\n{"item_id": ')


@pytest.mark.parametrize("case", CASES)
def test_a_spoilt_shop_is_refused_with_its_message(tmp_path: Path, case: str) -> None:
    changes, message = CASES[case]
    lay(tmp_path)
    with pytest.raises(DataError, match=message) as raised:
        tables.read(shop.write(tmp_path, **changes))
    sys.stdout.write(f"\n{case}\n    {raised.value}\n".replace(f"{tmp_path}/", ""))


def test_positives_alone_are_enough_where_negatives_are_drawn(tmp_path: Path) -> None:
    config = shop.write(tmp_path, **ALWAYS, **sections(events={"negatives": 4}))
    assert tables.read(config).events["label:click"].to_list() == [1.0] * 4
