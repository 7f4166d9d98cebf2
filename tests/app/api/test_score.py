import pytest

from model_store.bundle import Bundle


@pytest.fixture(scope="session")
def manifest(bundle):
    return Bundle.open(bundle).manifest


@pytest.fixture(scope="session")
def ids(bundle):
    return Bundle.open(bundle).items.ids


def score(client, **body):
    answer = client.post("/score", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_pairs_are_answered_in_the_order_given_with_every_task(client, ids, manifest):
    order = [ids[4], ids[0], ids[4], ids[2]]
    results = score(client, pairs=[{"user_id": "u1", "item_id": item} for item in order])["results"]
    assert [result["item_id"] for result in results] == order
    assert all(set(result["tasks"]) == {task.name for task in manifest.answered} for result in results)
    assert results[0] == results[2]


def test_a_pair_scores_as_in_a_recommendation(client, ids):
    body = {"context": {"timestamp": "2026-11-22T12:00:00Z"}}
    ranked = client.post(
        "/recommend", json={"user_id": "u1", "query": "red", "candidates": [ids[3]], **body}
    ).json()["items"]
    [result] = score(client, pairs=[{"user_id": "u1", "query": "red", "item_id": ids[3]}], **body)["results"]
    assert result == {"status": 200, **ranked[0]}


def test_a_pair_fails_alone(client, ids):
    pairs = [
        {"user_id": "u", "item_id": "ghost"},
        {"user_id": "u", "item_id": ids[0]},
        {"item_id": ids[0]},
        {"user_id": "u"},
    ]
    results = score(client, pairs=pairs)["results"]
    assert [result["status"] for result in results] == [422, 200, 422, 422]
    assert "'ghost' is not in the catalogue; give its text" in results[0]["error"]
    assert "give user_id, history or query" in results[2]["error"]
    assert results[3]["error"] == "item_id: is missing; add it"


def test_a_cold_item_is_scored_by_its_text(client, manifest):
    pair = {"query": "red", "item_id": "cold", "text": {manifest.item_text[0].name: "red shoes"}}
    assert score(client, pairs=[pair])["results"][0]["status"] == 200


def test_a_pair_may_have_a_moment_of_its_own(client, ids):
    times = ("2026-11-22T03:00:00Z", "2026-11-22T15:00:00Z")
    pairs = [{"history": [], "item_id": ids[0], "timestamp": time} for time in times]
    first, second = score(client, pairs=pairs)["results"]
    assert first["tasks"] != second["tasks"]


def test_texts_are_scored_by_the_tasks_that_read_a_text_alone(client, manifest):
    answer = score(client, texts=["good", "bad", "good"])
    assert answer["results"] == []
    assert [set(text["tasks"]) for text in answer["texts"]] == [
        {task.name for task in manifest.text_tasks}
    ] * 3
    assert answer["texts"][0] == answer["texts"][2]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({}, 422, "pairs: is empty, and so is texts"),
        ({"pairs": "x"}, 422, "pairs: Input should be a valid array"),
        ({"texts": [5]}, 422, "texts[0]: must be a string"),
        ({"texts": ["x"] * 257}, 413, "texts: 257 are more than 256"),
        ({"pairs": [{}] * 257}, 413, "pairs: 257 are more than 256"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_request_that_is_wrong_as_a_whole_is_refused(client, body, status, message):
    answer = client.post("/score", json=body)
    assert (answer.status_code, message in answer.json()["error"]) == (status, True), answer.text
