import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from app import keys
from model_store.bundle import Bundle
from tests.live import metric


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


def test_one_event_without_its_item_is_told_so(client, click):
    answer = client.post("/events", json={"user_id": "ev:1", "event": click}).json()
    assert answer["rejected"][0]["error"].startswith("item_id: is missing; add it, or item_ids")
    assert client.post("/events", json={}).json()["error"] == "events: is missing; add it"


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


@pytest.fixture(scope="session")
def layout(client):
    return client.app.state.service.model.engine.features.layout


def told(client, item):
    """The features of one item as of now."""
    body = {"query": "x", "candidates": [item], "explain": True}
    return client.post("/recommend", json=body).json()["items"][0]["features"]


def rejection(client, **event):
    answer = client.post("/events", json={"events": [event]}).json()
    assert (answer["accepted"], len(answer["rejected"])) == (0, 1)
    return answer["rejected"][0]["error"]


def test_a_counted_event_of_nobody_changes_the_next_answer(client, ids, click):
    before = told(client, ids[20])
    assert client.post("/events", json={"item_id": ids[20], "event": click}).json()["accepted"] == 1
    after = told(client, ids[20])
    assert after[f"count:{click}"][0] > before[f"count:{click}"][0]
    assert after[f"since:{click}"][0] < 0.01


def test_a_list_that_was_shown_is_counted_item_by_item(client, ids):
    shown = list(ids[21:24])
    before = [told(client, item)["count:view"] for item in shown]
    answer = client.post("/events", json={"user_id": "ev:list", "item_ids": shown, "event": "view"})
    assert answer.json()["accepted"] == 1
    after = [told(client, item)["count:view"] for item in shown]
    assert all(now[0] > then[0] for now, then in zip(after, before, strict=True))


def test_a_list_is_remembered_of_the_user_it_was_shown_to(client, ids):
    for _ in range(2):
        client.post("/events", json={"user_id": "ev:met", "item_ids": list(ids[:2]), "event": "view"})
    body = {"user_id": "ev:met", "candidates": list(ids[:3]), "explain": True, "history": []}
    items = client.post("/recommend", json=body).json()["items"]
    often = {item["item_id"]: item["features"]["shown"] for item in items}
    assert [often[item][0] for item in ids[:3]] == pytest.approx([1.0986123, 1.0986123, 0.0])
    assert [often[item][2] for item in ids[:3]] == [0.0, 0.0, 1.0]
    stranger = client.post("/recommend", json={**body, "user_id": "ev:stranger"}).json()["items"]
    assert all(item["features"]["shown"] == [0.0, 0.0, 1.0] for item in stranger)


def test_an_event_too_late_for_every_window_is_taken_and_said(client, ids, click):
    line = 'chorus_statistics_events_total{result="late"}'
    before = metric(client, line)
    now = {"item_id": ids[25], "event": click}
    client.post("/events", json=now)
    late = (datetime.now(UTC) - timedelta(days=60)).isoformat()
    assert client.post("/events", json={**now, "timestamp": late}).json()["accepted"] == 1
    assert metric(client, line) == before + 1


def test_a_retried_list_is_counted_once(client, ids, layout, redis_server):
    event = {"event_id": "ev:list:1", "item_ids": [ids[26], ids[27]], "event": "view"}
    first, again = (client.post("/events", json=event).json() for _ in range(2))
    assert (first["duplicates"], again["duplicates"]) == (0, 1)
    with redis_server.client() as redis:
        record = redis.get(keys.record(layout.digest, ids[27]))
    counts = layout.read(np.frombuffer(record, dtype=layout.dtype), np.array([time.time() + 1])).counts
    assert counts.max() == 1


def test_an_event_of_the_future_is_rejected_but_not_one_of_a_clock_a_little_ahead(client, ids, click):
    def at(seconds):
        moment = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
        return {"user_id": "ev:future", "item_id": ids[0], "event": click, "timestamp": moment}

    assert rejection(client, **at(90)).startswith("timestamp: lies ")
    assert client.post("/events", json=at(30)).json()["accepted"] == 1


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (
            {"item_ids": ["a"], "event": "click"},
            "item_ids: is for event 'view' alone; send an event with item_id",
        ),
        ({"item_ids": [], "event": "view"}, "item_ids: is empty"),
        (
            {"item_id": "a", "item_ids": ["a"], "event": "view"},
            "item_ids: stands beside item_id; give one of them",
        ),
        ({"event": "view"}, "item_id: is missing; add it, or item_ids"),
        ({"item_id": "a"}, "event: is missing; add it, or values alone"),
        (
            {"item_id": "a", "event": "purchase"},
            "user_id: is missing, and 'purchase' is kept of users alone; add it",
        ),
        ({"item_id": "a", "event": "sneeze"}, "event: 'sneeze' is no event of this model; use click"),
        ({"item_id": "a", "values": {"price": 1.0}}, "values.price: is unknown to this model; use none"),
        (
            {"item_id": "a", "event": "click", "values": {"price": "1"}},
            "values.price: Input should be a valid number",
        ),
    ],
)
def test_an_event_that_says_nothing_usable_is_told_the_fix(client, event, message):
    assert message in rejection(client, **event)
