import polars as pl
import pytest

from app import files
from app.errors import SettingsError

FRAME = pl.DataFrame({"item_id": ["a", "b", "c"], "note": ["1", None, "x,y"]})


def written(folder, suffix):
    path = folder / f"pairs{suffix}"
    {".parquet": FRAME.write_parquet, ".csv": FRAME.write_csv, ".jsonl": FRAME.write_ndjson}[suffix](path)
    return path


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_rows_are_read_in_slices_and_joined_in_the_order_of_their_numbers(tmp_path, suffix):
    source, out = written(tmp_path, suffix), tmp_path / f"out{suffix}"
    with files.beside(out) as room:
        frame = room.scan(source)
        for number in (2, 0, 1):
            room.put(number, frame.slice(number, 1).collect())
        room.join(out)
    read = {".parquet": pl.read_parquet, ".csv": pl.read_csv, ".jsonl": pl.read_ndjson}[suffix](out)
    assert read.equals(FRAME)
    assert {path.name for path in tmp_path.iterdir()} == {source.name, out.name}


def test_a_text_stays_a_text_in_csv(tmp_path):
    (tmp_path / "pairs.csv").write_text("item_id\n007\n")
    with files.beside(tmp_path / "out.csv") as room:
        assert room.scan(tmp_path / "pairs.csv").collect()["item_id"].to_list() == ["007"]


def test_values_inside_values_come_through(tmp_path):
    line = '{"item_id": "a", "history": [{"item_id": "b", "event": "click"}]}\n'
    (tmp_path / "pairs.jsonl").write_text('{"item_id": "z", "history": []}\n' + line + '{"item_id": "c"}\n')
    with files.beside(tmp_path / "out.jsonl") as room:
        history = room.scan(tmp_path / "pairs.jsonl").collect()["history"].to_list()
    assert history == [[], [{"item_id": "b", "event": "click"}], None]


def test_a_run_that_fails_leaves_what_was_there(tmp_path):
    out = tmp_path / "out.csv"
    out.write_text("old")

    def work():
        with files.beside(out) as room:
            room.put(0, FRAME)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        work()
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    assert out.read_text() == "old"


@pytest.mark.parametrize(
    ("source", "out", "reason"),
    [
        ("pairs.parquet", "out.parquet", "pairs.parquet cannot be read"),
        ("pairs.txt", "out.parquet", "pairs.txt is none of .parquet, .csv, .jsonl"),
        ("pairs.csv", "out.xlsx", "out.xlsx is none of .parquet, .csv, .jsonl"),
        ("pairs.csv", "nowhere/out.csv", "nowhere is no folder; make it"),
        ("broken.parquet", "out.csv", "broken.parquet cannot be read"),
    ],
)
def test_what_cannot_be_read_or_written_says_why(tmp_path, source, out, reason):
    (tmp_path / "broken.parquet").write_text("no parquet")

    def work():
        with files.beside(tmp_path / out) as room:
            room.scan(tmp_path / source)

    with pytest.raises(SettingsError, match=reason):
        work()
