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
def test_rows_are_read_in_slices_and_written_in_parts(tmp_path, suffix):
    source, out = written(tmp_path, suffix), tmp_path / f"out{suffix}"
    with files.beside(out) as room:
        frame = room.scan(source)
        parts = (frame.slice(number, 1).collect() for number in range(len(FRAME)))
        room.write(out, parts, frame.collect_schema())
    read = {".parquet": pl.read_parquet, ".csv": pl.read_csv, ".jsonl": pl.read_ndjson}[suffix](out)
    assert read.equals(FRAME)
    assert {path.name for path in tmp_path.iterdir()} == {source.name, out.name}


def test_a_part_is_asked_for_when_those_before_are_taken(tmp_path):
    rows = 4 * files.GROUP
    part = pl.DataFrame({"number": range(rows)})

    def parts():
        for _ in range(40):
            seen.append(sum(path.stat().st_size for path in tmp_path.rglob("whole.parquet")))
            yield part

    seen, out = [], tmp_path / "out.parquet"
    with files.beside(out) as room:
        room.write(out, parts(), part.schema)
    assert pl.scan_parquet(out).select(pl.len()).collect().item() == 40 * rows
    assert seen[-1] > out.stat().st_size / 2


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

    def parts():
        yield FRAME
        raise RuntimeError("stop")

    def work():
        with files.beside(out) as room:
            room.write(out, parts(), FRAME.schema)

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
