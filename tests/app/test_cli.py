import json

import pytest
from typer.testing import CliRunner

from app.cli import app
from model_store.bundle import Bundle


def run(*arguments, **environ):
    return CliRunner().invoke(app, [*map(str, arguments)], env=environ)


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ([], ["serve", "score", "load", "CHORUS_"]),
        (["serve"], ["--port", "SIGTERM", "code 2"]),
        (["score"], ["--out", "parquet", "one more column"]),
        (["load"], ["HISTORIES.jsonl", "CHORUS_REDIS_URL", "user_id"]),
    ],
)
def test_help_teaches(command, words):
    result = run(*command, "--help", COLUMNS="200")
    assert result.exit_code == 0
    assert all(word in result.output for word in words)


def test_loading_into_a_redis_that_would_forget_is_refused(tmp_path, shelf):
    (tmp_path / "h.jsonl").write_text("")
    result = run("load", tmp_path / "h.jsonl", "--store", shelf)
    assert result.exit_code == 2
    assert "set CHORUS_REDIS_URL or CHORUS_REDIS_DIR" in result.output


def test_a_loaded_history_is_seen_by_the_service(tmp_path, bundle, shelf, redis_server, client):
    opened = Bundle.open(bundle)
    events = [
        {
            "item_id": opened.items.ids[0],
            "event": opened.manifest.events[1],
            "timestamp": "2026-11-01T00:00:00Z",
        }
    ]
    path = tmp_path / "h.jsonl"
    path.write_text(json.dumps({"user_id": "cli:1", "events": events}) + "\n")
    result = run(
        "load",
        path,
        CHORUS_STORE=str(shelf),
        CHORUS_REDIS_URL=redis_server.url,
        CHORUS_REDIS_TIMEOUT_MS="2000",
    )
    assert result.exit_code == 0, result.output
    assert "1 users with 1 events loaded" in result.output
    body = {"user_id": "cli:1", "candidates": list(opened.items.ids[:2]), "exclude_seen": True}
    assert [item["item_id"] for item in client.post("/recommend", json=body).json()["items"]] == [
        opened.items.ids[1]
    ]


def test_the_file_that_training_writes_is_loaded(bundle, shelf, redis_server):
    [path] = (bundle.parents[2] / "runs").glob("*/histories.jsonl.gz")
    result = run(
        "load",
        path,
        CHORUS_STORE=str(shelf),
        CHORUS_REDIS_URL=redis_server.url,
        CHORUS_REDIS_TIMEOUT_MS="2000",
    )
    assert result.exit_code == 0, result.output


def test_an_unknown_version_names_those_that_there_are(shelf, redis_server, tmp_path):
    (tmp_path / "h.jsonl").write_text("")
    result = run(
        "load",
        tmp_path / "h.jsonl",
        "--version",
        "9",
        CHORUS_STORE=str(shelf),
        CHORUS_REDIS_URL=redis_server.url,
    )
    assert result.exit_code == 2
    assert "has no version 9" in result.output
