import pytest

from model_store.bundle import Bundle


@pytest.fixture(scope="session")
def ids(bundle):
    return Bundle.open(bundle).items.ids


@pytest.fixture(scope="session")
def click(bundle):
    return Bundle.open(bundle).manifest.events[1]


def test_one_event_may_come_alone(client, ids, click):
    answer = client.post("/events", json={"user_id": "ev:1", "item_id": ids[0], "event": click})
    assert answer.json() | {"request_id": ""} == {
        "request_id": "",
        "accepted": 1,
        "duplicates": 0,
        "rejected": [],
    }


def test_a_bad_event_does_not_keep_out_the_good_ones(client, ids, click):
    events = [
        {"user_id": "ev:2", "item_id": ids[0], "event": click},
        {"user_id": "ev:2", "item_id": ids[0], "event": "sneeze"},
        {"user_id": "ev:2", "event": click},
        {"user_id": "ev:2", "item_id": ids[1], "event": click, "timestamp": "yesterday"},
        {"user_id": "ev:2", "item_id": "not yet in the catalogue", "event": click},
    ]
    answer = client.post("/events", json={"events": events}).json()
    assert answer["accepted"] == 2
    assert [(each["index"], each["error"].split(":")[0]) for each in answer["rejected"]] == [
        (1, "event"),
        (2, "item_id"),
        (3, "timestamp"),
    ]


def test_a_retry_with_an_id_changes_nothing(client, ids, click):
    event = {"event_id": "once", "user_id": "ev:3", "item_id": ids[0], "event": click}
    first, again = (client.post("/events", json=event).json() for _ in range(2))
    assert (first["accepted"], first["duplicates"]) == (1, 0)
    assert (again["accepted"], again["duplicates"]) == (1, 1)


def test_two_users_may_use_one_id(client, ids, click):
    events = [
        {"event_id": "same", "user_id": user, "item_id": ids[0], "event": click} for user in ("ev:4", "ev:5")
    ]
    assert client.post("/events", json={"events": events}).json()["duplicates"] == 0


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"{", 422, "not JSON"),
        (b'{"events": []}', 422, "events: is empty"),
        (b"{}", 422, "events: is missing"),
        (b'{"events": [' + b",".join([b"{}"] * 257) + b"]}", 413, "events: 257 are more than 256"),
    ],
    ids=["no json", "empty", "missing", "too many"],
)
def test_a_request_that_is_wrong_as_a_whole_is_refused(client, body, status, message):
    answer = client.post("/events", content=body)
    assert (answer.status_code, message in answer.json()["error"]) == (status, True), answer.text


@pytest.mark.parametrize("user", ["}", "{u:x}", "ö💡", " ", "a:b", "x" * 256])
def test_any_name_of_a_user_is_a_key(client, ids, click, user):
    assert (
        client.post("/events", json={"user_id": user, "item_id": ids[0], "event": click}).status_code == 200
    )
    answer = client.post(
        "/recommend", json={"user_id": user, "candidates": list(ids[:2]), "exclude_seen": True}
    ).json()
    assert [item["item_id"] for item in answer["items"]] == [ids[1]]
