import asyncio
import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from app import offline
from app.catalogue import Catalogue
from app.cli import app
from app.link import Link
from app.metrics import Metrics
from app.model import build
from app.recommender import Recommender
from app.settings import Settings
from model_store.bundle import Bundle
from model_store.scorer import Scorer

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
    def run(*arguments, url=redis_server.url):
        environ = {
            "CHORUS_STORE": str(shelf),
            "CHORUS_REDIS_URL": url,
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


def test_of_the_users_of_a_file_few_are_kept():
    given = Settings(local_cache=20_000)
    kept = offline.frugal(given)
    assert kept.local_cache == offline.KNOWN < given.local_cache
    assert kept == given.model_copy(update={"local_cache": kept.local_cache})


def test_moments_may_be_times(score, frame, tmp_path):
    path, out = tmp_path / "pairs.parquet", tmp_path / "out.parquet"
    frame.with_columns(pl.col("timestamp").str.to_datetime(time_zone="UTC")).write_parquet(path)
    assert score(path, "--out", out).exit_code == 0
    assert pl.read_parquet(out)["score"].count() == ROWS - 1


@pytest.mark.parametrize("kind", [pl.Int64, pl.UInt32, pl.Float64])
def test_ids_that_are_whole_numbers_are_read_as_training_reads_them(score, frame, tmp_path, kind):
    path, out = tmp_path / "pairs.parquet", tmp_path / "out.parquet"
    numbers = pl.DataFrame({"user_id": pl.Series([7, 7, None], dtype=kind), "item_id": frame["item_id"][:3],
                            "query": [None, None, "red"]})  # fmt: skip
    texts = numbers.with_columns(user_id=pl.Series(["7", "7", None]))
    scores = []
    for rows in (numbers, texts):
        rows.write_parquet(path)
        assert score(path, "--out", out).exit_code == 0
        scores.append(pl.read_parquet(out))
    assert scores[0]["score"].to_list() == scores[1]["score"].to_list()
    assert scores[0]["score"].null_count() == 0
    assert scores[0].schema["user_id"] == kind
    pl.DataFrame({"item_id": pl.Series([5], dtype=kind), "user_id": ["u1"]}).write_parquet(path)
    assert score(path, "--out", out).exit_code == 0
    assert "'5' is not in the catalogue" in pl.read_parquet(out)["error"][0]


def test_without_a_redis_that_is_told_it_is_said_that_users_are_newcomers(shelf, frame, tmp_path):
    path = tmp_path / "pairs.parquet"
    frame.write_parquet(path)
    environ = {"CHORUS_STORE": str(shelf), "CHORUS_REDIS_URL": None, "CHORUS_REDIS_DIR": None}
    result = CliRunner().invoke(
        app, ["score", str(path), "--out", str(tmp_path / "out.parquet")], env=environ
    )
    assert "every user_id is a newcomer" in " ".join(result.output.split())


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


def test_slices_come_back_in_order_each_row_as_the_api_answers_it(score, client, ids, bundle, tmp_path):
    events = Bundle.open(bundle).manifest.events
    for number in range(3):
        body = {"user_id": f"off:{number}", "event": events[1], "item_id": ids[number]}
        client.post("/events", json={**body, "timestamp": "2026-11-20T00:00:00Z"})
    size, generator = offline.SLICE + 500, np.random.default_rng(2)
    frame = pl.DataFrame(
        {
            "row": np.arange(size),
            "user_id": [f"off:{n}" for n in generator.integers(0, 40, size)],
            "item_id": pl.Series(ids).gather(generator.integers(0, len(ids), size)),
            "query": pl.Series(["red", "blue", None]).gather(generator.integers(0, 3, size)),
            "timestamp": pl.Series(["2026-11-22T08:00:00Z", "2026-11-21T20:30:00+01:00"]).gather(
                np.arange(size) % 2
            ),
        }
    )
    frame.write_parquet(tmp_path / "pairs.parquet")
    result = score(tmp_path / "pairs.parquet", "--out", tmp_path / "out.parquet")
    assert f"{size} rows scored, 0 could not be" in result.output
    scored = pl.read_parquet(tmp_path / "out.parquet")
    assert scored.select(frame.columns).equals(frame)
    chosen = scored[[0, 1, 2, 777, *range(offline.SLICE - 3, offline.SLICE + 3), size - 1]]
    names = ["user_id", "item_id", "query", "timestamp"]
    pairs = [
        {k: v for k, v in row.items() if v is not None} for row in chosen.select(names).iter_rows(named=True)
    ]
    answers = client.post("/score", json={"pairs": pairs}).json()["results"]
    for row, answer in zip(chosen.iter_rows(named=True), answers, strict=True):
        assert row["score"] == pytest.approx(answer["score"], abs=2e-6)
        for name, value in answer["tasks"].items():
            served = json.loads(row[name]) if isinstance(value, dict) else row[name]
            assert served == pytest.approx(value, rel=1e-5, abs=2e-6)


def test_plain_rows_and_others_are_scored_beside_each_other(score, client, bundle, ids, tmp_path):
    title = Bundle.open(bundle).manifest.item_text[0].name
    history = [{"item_id": ids[2], "event": "no such event", "timestamp": "2026-11-20T00:00:00Z"}]
    pairs = [
        {"user_id": "off:1", "item_id": ids[0]},
        {"user_id": "off:1", "item_id": "cold", "text": {title: "red shoes"}},
        {"query": "red", "item_id": ids[1]},
        {"user_id": "off:1", "item_id": "ghost"},
        {"item_id": ids[1], "history": history},
        {"user_id": "", "item_id": ids[1]},
    ]  # fmt: skip
    pairs = [{**pair, "timestamp": "2026-11-22T08:00:00Z"} for pair in pairs]
    path, out = tmp_path / "pairs.jsonl", tmp_path / "out.jsonl"
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    assert score(path, "--out", out).exit_code == 0
    answers = client.post("/score", json={"pairs": pairs}).json()["results"]
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["item_id"] for row in rows] == [pair["item_id"] for pair in pairs]
    for row, answer in zip(rows, answers, strict=True):
        assert row["score"] == (pytest.approx(answer["score"], abs=2e-6) if "score" in answer else None)
        assert row["error"] == answer.get("error")
    assert [row["score"] is None for row in rows] == [False, False, False, True, True, True]


def test_a_file_without_rows_has_the_columns_all_the_same(score, tmp_path):
    path, out = tmp_path / "pairs.parquet", tmp_path / "out.parquet"
    pl.DataFrame(schema={"item_id": pl.String, "user_id": pl.String}).write_parquet(path)
    assert "0 rows scored, 0 could not be" in score(path, "--out", out).output
    assert {"item_id", "user_id", "score", "error"} < set(pl.read_parquet(out).columns)


def test_rows_scored_without_redis_are_told(score, frame, tmp_path):
    frame.write_parquet(tmp_path / "pairs.parquet")
    result = score(tmp_path / "pairs.parquet", "--out", tmp_path / "out.parquet", url="redis://127.0.0.1:1")
    assert result.exit_code == 0
    assert f"Redis was away for {ROWS - 1} rows" in result.output


def test_a_column_that_would_be_overwritten_is_refused(score, frame, tmp_path):
    frame.with_columns(score=1.0, error=None).write_parquet(tmp_path / "pairs.parquet")
    result = score(tmp_path / "pairs.parquet", "--out", tmp_path / "out.parquet")
    assert result.exit_code == 2
    assert "has score, error already; rename what would be overwritten" in " ".join(result.output.split())


def test_a_row_whose_numbers_are_not_finite_fails_alone(settings, bundle, ids):
    opened = Bundle.open(bundle)
    vectors = np.array(opened.items.vectors)
    vectors[1] = np.nan
    items = replace(opened.items, parts=replace(opened.items.parts, vectors=vectors))
    frame = pl.DataFrame({"item_id": list(ids[:4]), "user_id": ["off:9"] * 4})

    async def work():
        metrics = Metrics()
        link = Link(settings.redis_url, timeout=2.0, metrics=metrics)
        model = await build(settings, link, metrics)
        scorer = Scorer(opened, model.engine.features)
        catalogue = Catalogue(items, opened.manifest, scorer.parts)
        recommender = Recommender(
            model.engine, scorer, catalogue, state=model.state, pools=model.pools, settings=settings,
            metrics=metrics,
        )  # fmt: skip
        scoring = offline.Scoring(replace(model, catalogue=catalogue, recommender=recommender), metrics)
        found = await scoring.scored(frame)
        await model.state.settle()
        model.close()
        await link.close()
        return found, scoring.summary

    found, summary = asyncio.run(work())
    assert found["score"].is_null().to_list() == [False, True, False, False]
    assert "is not finite" in found["error"][1]
    assert (summary.rows, summary.failed) == (4, 1)
