"""Requests that cannot be used: each is told the field and the fix, and none is a fault of the service."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

NOON = "2026-11-22T12:00:00Z"
NAN, INFINITY = float("nan"), float("inf")


def event(**fields):
    return {"item_id": "i", "event": "click", "timestamp": NOON} | fields


def user(**fields):
    return {"user_id": "u"} | fields


def weights(**values):
    return user(fusion={"weights": values})


BAD = {
    "no json": (b"{", "the body is not JSON"),
    "empty body": (b"", "the body is not JSON"),
    "bytes that are no UTF-8": (b'{"user_id": "\xff"}', "the body is not JSON"),
    "half of a surrogate pair": (b'{"user_id": "\\ud800"}', "the body is not JSON"),
    "deeply nested": (b"[" * 100_000, "the body is not JSON"),
    "an array": ([], "the body: Input should be an object"),
    "nobody and nothing": ({}, "give user_id, history or query"),
    "unknown field": (
        user(candidate=[]),
        "candidate: is no field here; remove it, or did you mean candidates?",
    ),
    "a field of an endless name": (user(**{"x" * 1_000: 1}), "x" * 128 + "…: is no field here; remove it"),
    "user id a number": ({"user_id": 5}, "user_id: must be a string; put it in quotes"),
    "user id empty": ({"user_id": ""}, "user_id: is empty"),
    "user id too long": ({"user_id": "x" * 257}, "user_id: String should have at most 256"),
    "user id with NUL": ({"user_id": "a\0b"}, "user_id: holds a NUL character; remove it"),
    "k zero": (user(k=0), "k: Input should be greater than or equal to 1"),
    "k too large": (user(k=501), "k: Input should be less than or equal to 500"),
    "k a string": (user(k="5"), "k: Input should be a valid integer"),
    "k a fraction": (user(k=1.5), "k: Input should be a valid integer"),
    "query empty": ({"query": ""}, "query: is empty"),
    "query too long": ({"query": "x" * 2_001}, "query: String should have at most 2000"),
    "candidate a number": (user(candidates=["a", 5]), "candidates[1]: must be a string"),
    "candidate without id": (user(candidates=[{"text": {}}]), "candidates[0].item_id: is missing; add it"),
    "candidate with unknown text": (
        user(candidates=[{"item_id": "n", "text": {"colour": "x"}}]),
        "candidates[0].text.colour: is unknown to this model; use title",
    ),
    "candidate with unknown attribute": (
        user(candidates=["a", {"item_id": "n", "attributes": {"colour": ["x"]}}]),
        "candidates[1].attributes.colour: is unknown to this model; use category",
    ),
    "candidate text infinite": (
        user(candidates=[{"item_id": "n", "text": {"title": NAN}}]),
        "must be a finite number",
    ),
    "too many candidates": (user(candidates=["x"] * 1_001), "candidates: 1001 are more than 1000"),
    "time without offset": (
        user(context={"timestamp": "2026-11-22T08:00:00"}),
        "context.timestamp: has no offset",
    ),
    "time a number": (
        user(context={"timestamp": 1_795_348_800}),
        "context.timestamp: Input should be a valid datetime",
    ),
    "time long ago": (user(context={"timestamp": "0001-01-01T00:00:00Z"}), "lies outside 1970 to 2199"),
    "history event unknown": (
        {"history": [event(event="sneeze")]},
        "history[0].event: 'sneeze' is no event of this model; use click",
    ),
    "history event profile": ({"history": [event(), event(event="profile")]}, "history[1].event: 'profile'"),
    "history without time": (
        {"history": [{"item_id": "i", "event": "click"}]},
        "history[0].timestamp: is missing",
    ),
    "history too long": ({"history": [event()] * 1_001}, "history: List should have at most 1000"),
    "weight of an unknown task": (
        weights(luck=1.0),
        "fusion.weights.luck: is no task with one number; use click",
    ),
    "weight of classes": (weights(category=1.0), "fusion.weights.category: is no task with one number"),
    "weight below zero": (
        weights(click=-1.0),
        "fusion.weights.click: Input should be greater than or equal to 0",
    ),
    "weight above ten": (
        weights(click=11.0),
        "fusion.weights.click: Input should be less than or equal to 10",
    ),
    "weight NaN": (weights(click=NAN), "fusion.weights.click: must be a finite number"),
    "weight infinite": (weights(click=INFINITY), "fusion.weights.click: must be a finite number"),
    "weights all zero": (weights(click=0.0), "fusion.weights: give at least one of click"),
    "method unknown": (user(fusion={"method": "magic"}), "fusion.method: Input should be 'weighted_sum' or"),
    "filter unknown": (
        user(filters={"colour": ["red"]}),
        "filters.colour: is unknown to this model; use category",
    ),
    "filter no list": (user(filters={"category": "x"}), "filters.category: Input should be a valid array"),
    "profile unknown": (user(profile={"shoe size": 44}), "profile.shoe size: is unknown to this model"),
    "explain a word": (user(explain="yes"), "explain: Input should be a valid boolean"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_told_what_and_how_to_mend_it(client, name):
    body, message = BAD[name]
    content = body if isinstance(body, bytes) else json.dumps(body)
    answer = client.post("/recommend", content=content, headers={"Content-Type": "application/json"})
    status, kind = (413, "too_large") if name == "too many candidates" else (422, "validation")
    error = answer.json()
    assert message in error["error"]
    assert (answer.status_code, error["error_type"]) == (status, kind)
    assert error["request_id"] == answer.headers["X-Request-Id"]


def test_a_field_in_a_wrong_place_is_not_likened_to_itself(client):
    error = client.post("/recommend", json=user(fusion={"k": 3})).json()["error"]
    assert error == "fusion.k: is no field here; remove it"


values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [
    "user_id",
    "history",
    "query",
    "candidates",
    "k",
    "context",
    "fusion",
    "filters",
    "exclude_seen",
    "profile",
]


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), values, max_size=4), st.sampled_from(["", "/batch"]))
def test_whatever_is_sent_is_answered_or_refused(client, body, path):
    sent = json.dumps({"requests": [body]} if path else body)
    answer = client.post(f"/recommend{path}", content=sent, headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 422), answer.text
