"""Reading one file of each kind."""

import gzip
from pathlib import Path

import polars as pl
import pytest

from training.datasets import files
from training.errors import DataError

CSV = "id,title\n007,Mug\n8,\n"
JSONL = '{"id": "007", "title": "Mug"}\n{"id": "8"}\n'


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", CSV.encode()),
        ("a.csv", b"\xef\xbb\xbf" + CSV.encode()),
        ("A.CSV", CSV.replace("\n", "\r\n").encode()),
        ("a.csv.gz", gzip.compress(CSV.encode())),
        ("a.tsv", CSV.replace(",", "\t").encode()),
        ("a.tsv.gz", gzip.compress(CSV.replace(",", "\t").encode())),
        ("a.jsonl", JSONL.encode()),
        ("a.jsonl.gz", gzip.compress(JSONL.encode())),
    ],
)
def test_every_text_format_gives_the_same_frame(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert files.read(path).rows() == [("007", "Mug"), ("8", None)]


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    frame = pl.DataFrame({"id": [1], "tags": [["a", "b"]]})
    frame.write_parquet(path)
    assert files.read(path).equals(frame)


def test_a_quoted_cell_may_hold_separators_and_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('id,title\n1,"Mug, red\nand blue"\n')
    assert files.read(path).rows() == [("1", "Mug, red\nand blue")]


def test_a_missing_column_is_named_with_its_role_and_the_nearest_name(tmp_path: Path) -> None:
    frame = pl.DataFrame({"Item_ID": ["1"], "clik": [1]})
    with pytest.raises(
        DataError, match=r"no column 'item_id' \(items.id\), the nearest is 'Item_ID'; no column 'x'"
    ):
        files.require(frame, {"items.id": "item_id", "tasks.x.label": "x"}, tmp_path / "a.csv")


def test_files_of_one_table_may_each_have_columns_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "clicks.csv").write_text("item,clicked\n1,1\n")
    (tmp_path / "searches.csv").write_text("item,query\n2,mug\n")
    paths = [tmp_path / "clicks.csv", tmp_path / "searches.csv"]
    roles = {"events.item": "item", "events.query": "query", "tasks.click.label": "clicked"}
    clicks, searches = files.read_alike(paths, roles, {"events.item"})
    assert clicks.rows(named=True) == [{"clicked": "1", "item": "1", "query": None}]
    assert searches.rows(named=True) == [{"clicked": None, "item": "2", "query": "mug"}]


def test_the_key_must_be_in_every_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("item\n1\n")
    (tmp_path / "b.csv").write_text("product\n1\n")
    with pytest.raises(DataError, match=r"b.csv: no column 'item' \(events.item\)"):
        files.read_alike([tmp_path / "a.csv", tmp_path / "b.csv"], {"events.item": "item"}, {"events.item"})
