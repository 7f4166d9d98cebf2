"""What is told of rows that are kept: none of a good shop, one line for each mistake that looks like data."""

from pathlib import Path

from tests.training.datasets import shop
from training.datasets import tables

LISTED = {"events": {"impression": "kind"}}


def doubts(folder: Path, *, sections: dict[str, dict[str, str]] | None = None, **files: str) -> list[str]:
    return list(tables.read(shop.write(folder, sections=sections, **files)).report.doubts)


def test_a_good_shop_is_not_doubted(tmp_path: Path) -> None:
    assert doubts(tmp_path) == []
    assert doubts(tmp_path, sections=LISTED) == []


def test_items_that_are_clicked_before_they_are_out_are_told(tmp_path: Path) -> None:
    (line,) = doubts(tmp_path, items=shop.ITEMS.replace("2023-01-02", "2023-05-02"))
    assert line.startswith("events: 1 of 3 rows are earlier than items.time (listed) of their item")


def test_an_item_twice_in_one_list_is_told(tmp_path: Path) -> None:
    clicked = shop.EVENTS + "ann,1,2023-05-02T10:00:09Z,1,no,3,web\n"
    (line,) = doubts(tmp_path, sections=LISTED, events=clicked)
    assert line.startswith("events: 1 of 5 rows name an item once more in the same impression")
    assert doubts(tmp_path, events=clicked) == []


def test_lists_whose_id_is_used_again_are_told(tmp_path: Path) -> None:
    later = shop.EVENTS + "ann,3,2023-06-02T10:00:00Z,0,no,,web\n"
    (line,) = doubts(tmp_path, sections=LISTED, events=later)
    assert line == (
        "events: 1 of 2 impressions have rows more than two days apart, such as 'web', and all of each count as "
        "shown with the first; if kind is used again, make it unique, such as with the day before it"
    )
    assert doubts(tmp_path, events=later) == []
    assert doubts(tmp_path, sections=LISTED, events=later.replace("ann,3", "bea,3")) == []


def test_rows_of_exports_that_overlap_are_told(tmp_path: Path) -> None:
    again = shop.EVENTS + "bob,1,2023-05-03T12:00:00+02:00,yes,1,3.0,app\n"
    (line,) = doubts(tmp_path, events=again)
    assert line == (
        "events: 1 of 5 rows without an impression say the same as another one, and count as having happened again; "
        "if two exports overlap, keep one of each"
    )
    assert doubts(tmp_path, events=again.replace("yes,1,3.0", "yes,1,4.0")) == []
    (listed,) = doubts(tmp_path, sections=LISTED, events=again)
    assert "once more in the same impression" in listed


def test_times_without_a_zone_are_told_with_an_example(tmp_path: Path) -> None:
    naive = shop.ITEMS.replace("T00:00:00Z", " 00:00:00")
    (line,) = doubts(tmp_path, items=naive)
    assert line == (
        "items.time: times of column 'listed' have no zone and are read as UTC: "
        "items.csv row 1 (2023-01-01 00:00:00); write an offset if they are local"
    )
