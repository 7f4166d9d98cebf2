import json

import pytest

from tests.live import metric


def test_each_request_succeeds_or_fails_alone_in_order(client):
    requests = [
        {"user_id": "u1", "k": 1},
        {"user_id": 5},
        {"query": "red", "k": 2},
        {"user_id": "u1", "filters": {"colour": []}},
    ]
    answer = client.post("/recommend/batch", json={"requests": requests})
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [result["status"] for result in results] == [200, 422, 200, 422]
    assert [len(results[n]["items"]) for n in (0, 2)] == [1, 2]
    assert results[1]["error"] == "user_id: must be a string; put it in quotes"
    assert results[3]["error"].startswith("filters.colour: is unknown")


def test_an_entry_is_what_a_request_alone_answers(client):
    body = {"user_id": "u1", "k": 3, "query": "red", "context": {"timestamp": "2026-11-22T12:00:00Z"}}
    alone = client.post("/recommend", json=body).json()
    [entry] = client.post("/recommend/batch", json={"requests": [body]}).json()["results"]
    assert entry["items"] == alone["items"]
    assert entry["model"] == alone["model"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"requests": []}, 422, "requests: is empty"),
        ({}, 422, "requests: is missing"),
        ({"requests": {}}, 422, "requests: Input should be a valid array"),
        ({"requests": [], "x": 1}, 422, "x: is no field here"),
        ({"requests": [{"user_id": "u"}] * 257}, 413, "requests: 257 are more than 256"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_batch_that_is_wrong_as_a_whole_is_refused_as_a_whole(client, body, status, message):
    answer = client.post("/recommend/batch", json=body)
    assert answer.status_code == status
    assert message in answer.json()["error"]


def test_ndjson_in_is_ndjson_out_a_line_a_line(client):
    lines = [json.dumps({"user_id": f"u{n}", "k": 1}) for n in range(140)]
    lines[3], lines[40] = "{", json.dumps({"user_id": "u", "k": 0})
    content = "\r\n".join(lines) + "\n\n"
    answer = client.post(
        "/recommend/batch", content=content, headers={"Content-Type": "application/x-ndjson; charset=utf-8"}
    )
    assert answer.headers["Content-Type"].startswith("application/x-ndjson")
    results = [json.loads(line) for line in answer.text.splitlines()]
    assert [n for n, result in enumerate(results) if result["status"] != 200] == [3, 40]
    assert len(results) == 140
    assert "not JSON" in results[3]["error"]


def test_a_stream_without_a_line_is_answered_with_none_and_the_last_needs_no_newline(client):
    for content, expected in ((b"", 0), (b"\n \r\n", 0), (b'{"query": "red", "k": 1}', 1)):
        before = metric(client, 'chorus_batch_size_sum{endpoint="/recommend/batch"}')
        answer = client.post(
            "/recommend/batch", content=content, headers={"Content-Type": "application/x-ndjson"}
        )
        assert (answer.status_code, len(answer.text.splitlines())) == (200, expected)
        assert metric(client, 'chorus_batch_size_sum{endpoint="/recommend/batch"}') == before + expected
