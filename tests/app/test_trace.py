import re

import pytest
from starlette.testclient import TestClient

from app.main import create_app
from tests.live import metric


def test_a_request_id_comes_back_in_header_and_body(client):
    answer = client.post("/recommend", json={"user_id": "u1"}, headers={"X-Request-Id": "abc-1"})
    assert answer.headers["X-Request-Id"] == answer.json()["request_id"] == "abc-1"


@pytest.mark.parametrize("bad", ["", "with space", "x" * 129, "<script>"])
def test_a_request_id_that_could_harm_a_log_is_replaced(client, bad):
    made = client.get("/health/live", headers={"X-Request-Id": bad}).headers["X-Request-Id"]
    assert made != bad
    assert len(made) == 32


def test_the_answer_names_the_model_and_the_time_of_each_stage(client):
    answer = client.post("/recommend", json={"user_id": "trace:1", "query": "red"})
    model = client.get("/info").json()["model"]
    assert answer.headers["X-Model-Version"] == f"{model['name']}/{model['version']}"
    stages = [part.split(";dur=")[0] for part in answer.headers["Server-Timing"].split(", ")]
    assert {"redis", "heads", "total"} <= set(stages)


def test_requests_are_counted_by_endpoint_and_status_alias_or_not(client):
    line = 'chorus_requests_total{code="200",endpoint="/recommend"}'
    before = metric(client, line)
    client.post("/recommend", json={"user_id": "u1"})
    client.post("/v1/recommend", json={"user_id": "u1"})
    assert metric(client, line) == before + 2


def test_a_path_that_is_not_there_is_counted_as_other(client):
    line = 'chorus_requests_total{code="404",endpoint="other"}'
    before = metric(client, line)
    for n in range(3):
        assert client.get(f"/nothing/{n}").status_code == 404
    assert metric(client, line) == before + 3


def test_a_fault_of_ours_is_one_body_with_an_id_to_quote(settings):
    app = create_app(settings)

    @app.get("/fault")
    async def fault() -> None:
        raise ZeroDivisionError

    client = TestClient(app, raise_server_exceptions=False)
    answer = client.get("/fault", headers={"X-Request-Id": "quote-me"})
    assert answer.status_code == 500
    assert answer.json() == {
        "error": "the service failed; quote the request_id",
        "error_type": "internal",
        "request_id": "quote-me",
    }
    assert "Zero" not in answer.text


def test_every_answer_forbids_guessing_and_keeping_and_pages_say_what_they_load(client):
    for answer in (client.get("/info"), client.get("/nothing"), client.post("/recommend", content=b"{")):
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
    for page in ("/docs", "/redoc"):
        answer = client.get(page)
        policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
        assert "frame-ancestors" in policy
        loaded = set(re.findall(r'(?:src|href)="(https://[^/"]+)', answer.text))
        allowed = " ".join(policy.values())
        assert {
            place for place in loaded if place not in allowed and "https:" not in policy["img-src"]
        } == set()
