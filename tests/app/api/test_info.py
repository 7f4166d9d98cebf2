import time
from datetime import datetime

import pytest

from model_store import kernel
from model_store.bundle import Bundle
from tests.live import metric


def test_it_says_what_requests_may_say(client, bundle):
    manifest = Bundle.open(bundle).manifest
    info = client.get("/info").json()
    assert info["model"]["fingerprint"] == manifest.fingerprint
    assert info["model"]["precision"] == manifest.precision
    assert info["model"]["device"] in ("cpu", "cuda")
    assert info["model"]["heads"] == ("graphs" if kernel._kernel is None else "compiled")
    assert [task["name"] for task in info["tasks"]] == [task.name for task in manifest.tasks]
    assert [tuple(task["quantiles"]) for task in info["tasks"]] == [task.quantiles for task in manifest.tasks]
    assert {
        task["name"]: task["weight"] for task in info["tasks"] if task["weight"]
    } == manifest.fusion.weights
    assert info["events"] == list(manifest.events[1:])
    assert info["items"] == manifest.items
    assert info["features"] == list(manifest.features.use)
    assert info["context"] == {name: list(words) for name, words in manifest.features.words.items()}
    assert info["limits"]["candidates"] == 1_000
    assert info["redis"] == "external"


def test_it_says_what_is_counted_and_since_when(client, bundle):
    manifest = Bundle.open(bundle).manifest
    told = client.get("/info").json()["statistics"]
    assert (told["windows"], told["latest"]) == (list(manifest.features.windows), [])
    assert "view" in told["events"]
    assert datetime.fromisoformat(told["until"]).timestamp() == manifest.statistics_until
    assert told["age_seconds"] == pytest.approx(time.time() - manifest.statistics_until, abs=60.0)
    assert metric(client, "chorus_statistics_prior_age_seconds") >= told["age_seconds"]


def test_its_weights_and_names_are_accepted_by_recommend(client):
    info = client.get("/info").json()
    weights = {task["name"]: 1.0 for task in info["tasks"] if task["scalar"]}
    filters = {name: ["x"] for name in info["attributes"]}
    body = {"user_id": "u1", "fusion": {"weights": weights}, "filters": filters}
    assert client.post("/recommend", json=body).status_code == 200
