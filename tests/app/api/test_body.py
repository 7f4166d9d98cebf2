import pytest

from app.settings import Settings
from tests.live import running


@pytest.fixture(scope="session")
def small(shelf, redis_server):
    settings = Settings(store=shelf, redis_url=redis_server.url, redis_timeout_ms=2_000, max_body_bytes=2_048)
    with running(settings) as client:
        yield client


def test_a_body_over_the_limit_is_refused_by_what_it_announces(small):
    answer = small.post("/recommend", content=b" " * 2_049)
    assert (answer.status_code, answer.json()["error_type"]) == (413, "too_large")
    assert "more than 2048 bytes" in answer.json()["error"]


def test_a_body_that_announces_nothing_is_counted_as_it_comes(small):
    def chunks():
        for _ in range(10):
            yield b" " * 1_000

    answer = small.post("/recommend", content=chunks())
    assert answer.status_code == 413


def test_a_body_at_the_limit_is_read(small):
    body = b'{"user_id": "u1", "k": 1}'
    assert small.post("/recommend", content=body + b" " * (2_048 - len(body))).status_code == 200


def test_several_faults_are_told_at_once_but_not_all(client):
    error = client.post("/recommend", json={"a": 1, "b": 1, "c": 1, "d": 1, "user_id": 5}).json()["error"]
    assert error.count(";") >= 3
    assert error.endswith("; and 2 more")
