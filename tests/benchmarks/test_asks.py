import json

from benchmarks.speed import asks


def test_each_body_is_a_line_of_json(tmp_path):
    bodies = [{"user_id": "v1", "query": "two\nlines"}, {"user_id": "v2"}]
    lines = asks.write(bodies, tmp_path / "bodies.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == bodies


def test_a_batch_holds_the_same_requests_in_their_order():
    bodies = [{"k": number} for number in range(5)]
    calls = asks.batched(bodies, 2)
    assert [len(call["requests"]) for call in calls] == [2, 2, 1]
    assert [body for call in calls for body in call["requests"]] == bodies
