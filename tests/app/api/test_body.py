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


FLOODS = {
    "wrong candidates": (
        "/recommend",
        b'{"user_id":"u","candidates":[' + b",".join([b"0"] * 400_000) + b"]}",
        "candidates[0]: must be a string",
    ),
    "unknown fields": (
        "/recommend",
        b'{"user_id":"u",' + b",".join(b'"%x":1' % n for n in range(200_000)) + b"}",
        "the body: has 200000 faults",
    ),
    "wrong filters": (
        "/recommend",
        b'{"user_id":"u","filters":{' + b",".join(b'"%x":1' % n for n in range(200_000)) + b"}}",
        "the body: has 200000 faults",
    ),
    "empty events": (
        "/events",
        b'{"events":[' + b",".join([b"{}"] * 400_000) + b"]}",
        "events: 400000 are more than 256",
    ),
    "wrong requests": (
        "/recommend/batch",
        b'{"requests":[' + b",".join([b"0"] * 400_000) + b"]}",
        "requests: 400000 are more than 256",
    ),
    "deep": (
        "/recommend",
        b'{"user_id":' + b"[" * 400_000 + b"]" * 400_000 + b"}",
        "recursion limit exceeded",
    ),
    "a long number": ("/recommend", b'{"k":' + b"9" * 400_000 + b"}", "number out of range"),
}


@pytest.mark.parametrize("name", FLOODS)
def test_a_body_made_to_be_slow_to_refuse_is_refused_by_its_first_faults(client, name):
    """Each of them took minutes to hours when every fault was looked at beside every other."""
    path, body, message = FLOODS[name]
    answer = client.post(path, content=body)
    assert answer.status_code in (413, 422)
    assert message in answer.json()["error"]


def test_the_second_of_two_fields_of_a_name_is_the_one_that_counts(client):
    answer = client.post("/recommend", content=b'{"user_id": "u1", "k": 3, "k": 1}')
    assert len(answer.json()["items"]) == 1


def test_a_batch_of_as_many_as_the_limit_is_taken_and_one_more_is_not(client):
    requests = [{"user_id": "u1", "k": 1, "candidates": ["a", "b"]}] * 256
    assert client.post("/recommend/batch", json={"requests": requests}).status_code == 200
    answer = client.post("/recommend/batch", json={"requests": [*requests, {}]})
    assert (answer.status_code, answer.json()["error_type"]) == (413, "too_large")


def test_blank_lines_of_a_stream_are_nothing(client):
    body = b"\n" * 200_000 + b'{"user_id": "u1", "k": 1}\n' + b"\n" * 1_000
    answer = client.post("/recommend/batch", content=body, headers={"Content-Type": "application/x-ndjson"})
    assert len(answer.text.splitlines()) == 1
