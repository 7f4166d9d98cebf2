import json

import polars as pl
import pytest
from typer.testing import CliRunner

from app.cli import app
from model_store.bundle import Bundle

ROWS = 7


@pytest.fixture(scope="session")
def ids(bundle):
    return Bundle.open(bundle).items.ids


@pytest.fixture(scope="session")
def frame(ids):
    return pl.DataFrame(
        {
            "note": [f"row {n}" for n in range(ROWS)],
            "user_id": ["u1", "u2"] * 3 + ["u1"],
            "item_id": [*ids[: ROWS - 1], "no such item"],
            "query": ["red", None, "blue", None, None, None, None],
            "timestamp": ["2026-11-22T08:00:00Z"] * ROWS,
        }
    )


@pytest.fixture
def score(shelf, redis_server):
    def run(*arguments):
        environ = {
            "CHORUS_STORE": str(shelf),
            "CHORUS_REDIS_URL": redis_server.url,
            "CHORUS_REDIS_TIMEOUT_MS": "2000",
        }
        return CliRunner().invoke(app, ["score", *map(str, arguments)], env=environ)

    return run


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_the_same_rows_come_back_with_what_the_api_says_of_them(score, client, frame, tmp_path, suffix):
    source, out = tmp_path / f"pairs{suffix}", tmp_path / f"scored{suffix}"
    {".parquet": frame.write_parquet, ".csv": frame.write_csv, ".jsonl": frame.write_ndjson}[suffix](source)
    result = score(source, "--out", out)
    assert result.exit_code == 0, result.output
    assert "6 rows scored, 1 could not be" in result.output
    scored = {".parquet": pl.read_parquet, ".csv": pl.read_csv, ".jsonl": pl.read_ndjson}[suffix](out)
    assert scored["note"].to_list() == frame["note"].to_list()
    pairs = [
        {k: v for k, v in row.items() if v is not None and k != "note"} for row in frame.iter_rows(named=True)
    ]
    answers = client.post("/score", json={"pairs": pairs}).json()["results"]
    for row, answer in zip(scored.iter_rows(named=True), answers, strict=True):
        assert row["score"] == (pytest.approx(answer["score"], abs=1e-5) if "score" in answer else None)
        for name, value in answer.get("tasks", {}).items():
            served = json.loads(row[name]) if isinstance(value, dict) else row[name]
            assert served == (value if isinstance(value, dict) else pytest.approx(value, abs=1e-3))
    assert "not in the catalogue" in scored["error"][-1]


def test_moments_may_be_times(score, frame, tmp_path):
    path, out = tmp_path / "pairs.parquet", tmp_path / "out.parquet"
    frame.with_columns(pl.col("timestamp").str.to_datetime(time_zone="UTC")).write_parquet(path)
    assert score(path, "--out", out).exit_code == 0
    assert pl.read_parquet(out)["score"].count() == ROWS - 1


def test_a_history_may_come_with_the_row(score, ids, tmp_path, bundle):
    path, out = tmp_path / "pairs.jsonl", tmp_path / "out.jsonl"
    click = Bundle.open(bundle).manifest.events[1]
    history = [{"item_id": ids[3], "event": click, "timestamp": "2026-11-20T00:00:00Z"}]
    rows = [{"item_id": ids[0], "history": history}, {"item_id": ids[0], "history": []}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert score(path, "--out", out).exit_code == 0
    first, second = pl.read_ndjson(out)["score"].to_list()
    assert first != second


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("pairs.xlsx", "", "is none of .parquet, .csv, .jsonl"),
        ("pairs.csv", "user_id\nu1\n", "it needs item_id"),
        ("pairs.csv", "item_id\ni1\n", "it needs item_id and user_id, query or history"),
    ],
)
def test_a_file_that_cannot_be_scored_says_why(score, tmp_path, name, text, reason):
    (tmp_path / name).write_text(text)
    result = score(tmp_path / name, "--out", tmp_path / "out.csv")
    assert result.exit_code == 2
    assert reason in " ".join(result.output.split())
