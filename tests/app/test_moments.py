"""What the heads see of a request, told by explain over HTTP, and what Redis is asked for it."""

import numpy as np
import pytest

from app.settings import Settings
from model_store.bundle import Bundle
from model_store.engine import Engine
from model_store.moment import Moment, met
from model_store.words import ASKED, MATCHES
from tests.live import running

NOON = {"timestamp": "2026-11-22T12:00:00Z", "device": "phone"}


@pytest.fixture(scope="session")
def opened(bundle):
    return Bundle.open(bundle)


@pytest.fixture(scope="session")
def features(opened):
    return Engine(opened, "cpu").features


def explained(client, **body):
    answer = client.post("/recommend", json={"explain": True, "k": 500, **body})
    assert answer.status_code == 200, answer.text
    return {item["item_id"]: item["features"] for item in answer.json()["items"]}


def test_explain_tells_every_feature_as_the_heads_read_it(client, opened, features):
    ids = list(opened.items.ids[:10])
    told = explained(client, query="red", candidates=ids, context=NOON)
    assert list(told) != ids or len(told) == 10
    for item in told.values():
        assert tuple(name for name, values in item.items() for _ in values) == features.columns
        assert all(float(np.float32(value)) == value for values in item.values() for value in values)
    plain = client.post("/recommend", json={"query": "red", "candidates": ids}).json()["items"][0]
    assert "features" not in plain


@pytest.mark.parametrize("url", [None, "redis://127.0.0.1:1"], ids=["an empty Redis", "Redis away"])
def test_with_nothing_live_the_features_are_those_of_the_bundle(shelf, opened, features, url):
    """Computed here from the bundle alone, there through HTTP."""
    rows, now = np.array([7, 3, 11]), 1_795_348_800.0
    items, offset = opened.items, now - opened.manifest.statistics_until
    prior = features.layout.read(items.statistics[rows], np.array([opened.manifest.statistics_until]))
    nothing = met(rows, np.zeros(0, dtype=np.int64), np.zeros(0))
    moment = Moment(
        now=np.array([now]), published=items.published[rows], last_event=np.array([np.nan]), sizes=np.zeros(1),
        shares={name: np.full(3, np.nan) for name in features.attributes},
        habits={event: np.full(1, np.nan) for event in features.habits},
        moods={events: np.zeros(1) for events in features.moods},
        tastes={name: np.zeros(3) for name in features.tastes},
        kinds={
            name: items.attributes[name].places(known)[items.attributes[name].codes[rows]]
            for name, known in features.kinds.items()
        },
        statistics=prior.moved(np.array([offset])), shown=nothing, again=nothing,
        numbers={name: items.numbers[name][rows] for name in features.numbers},
        words={name: np.array([known.index("phone")]) for name, known in features.words.items()},
        **worded(items.wording.asked("red"), items.wording.rows[rows]),
    )  # fmt: skip
    ids = [items.ids[row] for row in rows]
    with running(Settings(store=shelf, redis_url=url, redis_timeout_ms=2_000)) as client:
        told = explained(client, query="red", candidates=ids, context=NOON)
    expected = features.matrix(moment)
    for number, item in enumerate(ids):
        assert [value for values in told[item].values() for value in values] == expected[number].tolist()


def worded(asked, shingles):
    return {
        "matches": dict(zip(MATCHES, asked.matched(shingles), strict=True)),
        "queries": {name: np.array([value]) for name, value in zip(ASKED, asked.told(), strict=True)},
    }


def test_an_item_matches_by_its_text_whether_known_put_or_described(client, opened):
    """The same text, in the bundle, put at runtime and brought by a request, beside one another."""
    known, title = opened.items.ids[5], opened.manifest.item_text[0].name
    [text] = [line["text"] for line in opened.lines("items.jsonl") if line["item_id"] == known]
    client.put("/items", json={"items": [{"item_id": "put", "text": {title: text}}]})
    brought = {"item_id": "brought", "text": {title: text}}
    other = {"item_id": "other", "text": {title: "zzz"}}
    told = explained(client, query=text, candidates=[brought, "put", known, other])
    client.delete("/items/put")
    assert told["other"]["match:words"] == [0.0]
    for item in ("put", "brought", known):
        assert told[item]["match:words"] == told[item]["match:pairs"] == [1.0]
        assert told[item]["match:gram_idf"] == told[known]["match:gram_idf"]
        assert told[item]["query:rarest"] == told["other"]["query:rarest"] > [0.0]


def test_without_a_query_no_word_matches(client, opened):
    told = explained(client, history=[], user_id="nobody", candidates=list(opened.items.ids[:3]))
    for item in told.values():
        assert item["match:words"] == item["match:gram_idf"] == item["query:rarest"] == [0.0]


def test_each_ask_of_a_batch_is_matched_by_its_own_query(client, opened):
    ids = list(opened.items.ids[:20])
    queries = ["red", "blue mug", None, "red"]
    asked = {"user_id": "nobody", "candidates": ids, "k": 20, "explain": True, "context": NOON}
    requests = [{**asked, "query": each} if each else asked for each in queries]
    batch = client.post("/recommend/batch", json={"requests": requests}).json()["results"]
    for request, result in zip(requests, batch, strict=True):
        alone = client.post("/recommend", json=request).json()
        assert [item["features"] for item in result["items"]] == [item["features"] for item in alone["items"]]


def test_a_word_of_the_request_is_a_column(client, opened):
    ids = list(opened.items.ids[:2])
    phone, other, none = (
        explained(client, query="red", candidates=ids, context=context)[ids[0]]["context:device"]
        for context in ({"device": "phone"}, {"device": "a fridge"}, {})
    )
    assert sum(phone) == sum(other) == 1.0
    assert phone != other
    assert other == none == [1.0] + [0.0] * (len(other) - 1)


def test_what_is_in_the_history_is_met_again(client, opened):
    ids, click = list(opened.items.ids[:3]), opened.manifest.events[1]
    history = [
        {"item_id": item, "event": click, "timestamp": f"2026-11-0{day}T00:00:00Z"}
        for day, item in ((1, ids[0]), (2, ids[0]), (3, "no such item"))
    ]
    cold = {"item_id": ids[0], "text": {opened.manifest.item_text[0].name: "red"}}
    stranger = {**cold, "item_id": "no such item"}
    told = explained(client, history=history, candidates=[ids[1], cold, stranger], context=NOON)
    assert [told[item]["again"][0] for item in (ids[1], ids[0], "no such item")] == pytest.approx(
        [0, 1.0986123, 0]
    )
    assert [told[item]["again"][2] for item in (ids[1], ids[0], "no such item")] == [1, 0, 1]


def test_a_number_of_a_cold_item_is_its_own_and_else_missing(client, opened, features):
    [name] = features.numbers
    text = {opened.manifest.item_text[0].name: "red"}
    cold = {"item_id": "cold", "text": text, "numbers": {name: 10.0}}
    told = explained(client, query="red", candidates=[cold, {"item_id": "bare", "text": text}])
    assert told["cold"][f"number:{name}"][1] == 0.0
    assert told["bare"][f"number:{name}"] == [0.0, 1.0]


def test_an_item_with_its_own_text_is_still_the_item_that_was_counted(client, opened):
    item, click = opened.items.ids[30], opened.manifest.events[1]
    client.post("/events", json={"events": [{"item_id": item, "event": click}] * 3})
    cold = {"item_id": item, "text": {opened.manifest.item_text[0].name: "red"}}
    known, described = (explained(client, query="red", candidates=[each])[item] for each in (item, cold))
    assert described[f"count:{click}"] == known[f"count:{click}"]


def test_lists_compare_what_is_asked_about_together(client, opened):
    ids = list(opened.items.ids[:5])
    together = explained(client, query="red", candidates=ids, context=NOON)
    alone = explained(client, query="red", candidates=ids[:1], context=NOON)
    assert together[ids[0]]["candidates"] != alone[ids[0]]["candidates"]
    assert len({tuple(together[item]["list:item_age"]) for item in ids}) > 1
    assert alone[ids[0]]["list:item_age"][:3] == [0.0, 0.0, 0.0]


def trips(client, body):
    lines = client.get("/metrics").text.splitlines()
    return [float(line.split()[1]) for line in lines if line.startswith(body)]


@pytest.mark.parametrize(("given", "expected"), [(True, 1), (False, 2)])
def test_given_candidates_take_one_trip_to_redis_and_retrieved_ones_two(client, opened, given, expected):
    body = {"user_id": "mom:trips"} | ({"candidates": list(opened.items.ids[:20])} if given else {})
    client.post("/recommend", json=body)  # vectors are stored after the first
    event = {"event": opened.manifest.events[1], "item_id": opened.items.ids[0]}
    changed = [{**event, "user_id": "mom:trips"}, {**event, "item_id": opened.items.ids[1]}]
    client.post("/events", json={"events": changed})  # what was kept of both is not true any more
    line = 'chorus_redis_duration_seconds_count{op="fetch"}'
    [before] = trips(client, line)
    client.post("/recommend/batch", json={"requests": [body] * 4})
    assert trips(client, line) == [before + expected]


def test_retrieved_items_have_the_counts_of_given_ones(client, opened):
    item, click = opened.items.ids[40], opened.manifest.events[1]
    client.post("/events", json={"item_id": item, "event": click})
    retrieved = explained(client, query="red", context=NOON)
    given = explained(client, query="red", candidates=list(opened.items.ids), context=NOON)
    assert retrieved == given
    requests = [{"query": "red", "k": 500, "explain": True, "context": NOON}] * 2
    batch = client.post("/recommend/batch", json={"requests": requests}).json()["results"]
    for result in batch:
        assert {each["item_id"]: each["features"] for each in result["items"]} == given


def test_each_pair_of_a_score_is_a_list_of_its_own(client, opened):
    ids = list(opened.items.ids[:4])
    pairs = [{"query": "red", "item_id": item} for item in ids]
    results = client.post("/score", json={"pairs": pairs, "context": NOON}).json()["results"]
    for item, result in zip(ids, results, strict=True):
        body = {"query": "red", "candidates": [item], "context": NOON}
        tasks = client.post("/recommend", json=body).json()["items"][0]["tasks"]
        for name, value in tasks.items():
            assert result["tasks"][name] == pytest.approx(value, rel=1e-5, abs=2e-6)
