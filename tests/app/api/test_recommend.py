import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.bundle import Bundle

CATALOGUE = 12  # items that the properties choose from


@pytest.fixture(scope="session")
def manifest(bundle):
    return Bundle.open(bundle).manifest


@pytest.fixture(scope="session")
def items(bundle):
    return Bundle.open(bundle).items


@pytest.fixture(scope="session")
def click(manifest):
    return manifest.events[1]


def ask(client, **body):
    answer = client.post("/recommend", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids_of(answer):
    return [item["item_id"] for item in answer["items"]]


numbers = st.integers(0, CATALOGUE - 1)
candidates = st.lists(
    st.one_of(
        numbers,
        st.sampled_from(["ghost", "phantom"]),
        st.sampled_from(["cold1", "cold2"]).map(
            lambda name: {"item_id": name, "text": {"title": f"{name} red"}}
        ),
    ),
    max_size=25,
)
some = st.lists(numbers, max_size=5)
choices = st.fixed_dictionaries(
    {
        "k": st.integers(1, 30),
        "exclude_seen": st.booleans(),
        "fusion": st.fixed_dictionaries({"method": st.sampled_from(["weighted_sum", "weighted_product"])}),
    },
    optional={"query": st.just("red shoes"), "explain": st.booleans()},
)


@settings(max_examples=60, deadline=None)
@given(given=candidates, seen=some, excluded=some, chosen=choices)
def test_any_candidates_are_answered_best_first_without_what_was_seen_or_excluded(
    client, items, click, *, given, seen, excluded, chosen
):
    wanted = [items.ids[each] if isinstance(each, int) else each for each in given]
    times = [f"2026-11-01T00:00:{second:02d}Z" for second in range(len(seen))]
    history = [
        {"item_id": items.ids[n], "event": click, "timestamp": time}
        for n, time in zip(seen, times, strict=True)
    ]
    filters = {"exclude": [items.ids[n] for n in excluded]}
    moment = {"timestamp": "2026-11-22T12:00:00Z"}
    answer = ask(client, history=history, candidates=wanted, filters=filters, context=moment, **chosen)
    scores = [item["score"] for item in answer["items"]]
    left_out = set(filters["exclude"]) | ({items.ids[n] for n in seen} if chosen["exclude_seen"] else set())
    named = [each if isinstance(each, str) else each["item_id"] for each in wanted]
    unknown = [name for name in dict.fromkeys(named) if name in ("ghost", "phantom")]
    left = set(named) - left_out - set(unknown)
    assert scores == sorted(scores, reverse=True)
    assert all(math.isfinite(score) and 0.0 <= score <= 1.0 for score in scores)
    assert len(scores) == min(chosen["k"], len(left))
    assert set(ids_of(answer)) <= left
    assert len(set(ids_of(answer))) == len(scores)
    assert answer["unknown_items"] == unknown


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(range(CATALOGUE)))
def test_the_order_of_candidates_does_not_change_a_score(client, items, order):
    body = {
        "history": [],
        "query": "red shoes",
        "context": {"timestamp": "2026-11-22T12:00:00Z"},
        "k": CATALOGUE,
    }
    first = ask(client, candidates=list(items.ids[:CATALOGUE]), **body)
    second = ask(client, candidates=[items.ids[n] for n in order], **body)
    scores = {item["item_id"]: item["score"] for item in first["items"]}
    assert {item["item_id"]: item["score"] for item in second["items"]} == pytest.approx(scores, abs=1e-5)


def test_every_task_of_the_bundle_is_in_every_item(client, manifest):
    answer = ask(client, user_id="newcomer", k=3)
    for item in answer["items"]:
        assert set(item["tasks"]) == {task.name for task in manifest.answered}
        for task in manifest.answered:
            value = item["tasks"][task.name]
            assert isinstance(value, float) if task.scalar else 0 < len(value) <= 5


def test_a_newcomer_is_answered_as_one_without_history(client):
    moment = {"timestamp": "2026-11-22T12:00:00Z"}
    by_id = client.post("/recommend", json={"user_id": "never seen", "context": moment})
    inline = ask(client, history=[], context=moment)
    assert by_id.json()["items"] == inline["items"]
    assert by_id.json()["degraded"] == []


def test_a_query_alone_is_enough(client):
    assert ask(client, query="red shoes", k=5)["items"]


def test_an_event_changes_the_next_answer_and_its_item_is_seen(client, items, click):
    before = ask(client, user_id="rec:event", k=5)
    clicked = before["items"][0]["item_id"]
    assert (
        client.post("/events", json={"user_id": "rec:event", "item_id": clicked, "event": click}).status_code
        == 200
    )
    after = ask(client, user_id="rec:event", k=5)
    assert clicked not in ids_of(after)
    given_again = ask(client, user_id="rec:event", candidates=[clicked])
    assert ids_of(given_again) == [clicked]
    assert given_again["items"][0]["tasks"] != before["items"][0]["tasks"]


def test_the_cache_is_missed_once_then_hit_and_bypassed_by_an_inline_history(client, items, click):
    client.post(
        "/events",
        json={
            "user_id": "rec:x",
            "item_id": items.ids[0],
            "event": click,
            "timestamp": "2024-11-01T00:00:01.5Z",
        },
    )
    uses = [client.post("/recommend", json={"user_id": "rec:x", "k": 1}).headers["X-Cache"] for _ in range(2)]
    inline = client.post("/recommend", json={"user_id": "rec:x", "history": [], "k": 1}).headers["X-Cache"]
    assert (*uses, inline) == ("miss", "hit", "bypass")


def test_an_inline_history_does_not_touch_the_stored_one(client, items, click):
    event = {"item_id": items.ids[0], "event": click, "timestamp": "2026-11-01T00:00:00Z"}
    body = {
        "user_id": "rec:inline",
        "context": {"timestamp": "2026-11-22T12:00:00Z"},
        "candidates": list(items.ids[:5]),
    }
    before = ask(client, **body)
    inline = ask(client, **body, history=[event])
    assert ask(client, **body)["items"] == before["items"]
    assert inline["items"] != before["items"]


def test_events_at_or_after_the_moment_do_not_count(client, items, click):
    moment = "2026-11-22T12:00:00Z"
    late = [
        {"item_id": items.ids[n], "event": click, "timestamp": time}
        for n, time in enumerate([moment, "2026-11-23T00:00:00Z"])
    ]
    body = {"context": {"timestamp": moment}, "candidates": list(items.ids[:5]), "exclude_seen": True}
    assert ask(client, history=late, **body)["items"] == ask(client, history=[], **body)["items"]


def test_the_stored_history_is_cut_at_the_moment_too(client, items, click):
    client.post(
        "/events",
        json={
            "user_id": "rec:cut",
            "item_id": items.ids[0],
            "event": click,
            "timestamp": "2024-11-20T00:00:00Z",
        },
    )
    body = {"context": {"timestamp": "2024-11-19T00:00:00Z"}, "candidates": list(items.ids[:5])}
    assert ask(client, user_id="rec:cut", **body)["items"] == ask(client, history=[], **body)["items"]


def test_an_event_reported_late_takes_its_place_in_time(client, items, click):
    def tell(user, order):
        for n in order:
            event = {
                "user_id": user,
                "item_id": items.ids[n],
                "event": click,
                "timestamp": f"2024-11-{n + 1:02d}T00:00:00Z",
            }
            assert client.post("/events", json=event).status_code == 200

    tell("rec:early", [0, 1, 2])
    tell("rec:late", [2, 0, 1])
    body = {"context": {"timestamp": "2026-11-22T12:00:00Z"}, "k": 5}
    assert (
        ask(client, user_id="rec:early", **body)["items"] == ask(client, user_id="rec:late", **body)["items"]
    )


def test_a_filter_holds_for_retrieved_and_for_given_items(client, items):
    name, attribute = next((name, each) for name, each in items.attributes.items() if len(each.values) > 1)
    value = attribute.values[int(attribute.codes[0].max())]
    carrying = {items.ids[row] for row in range(len(items)) if attribute.index[value] in attribute.codes[row]}
    retrieved = ask(client, user_id="u1", k=500, filters={name: [value]})
    given_ones = ask(client, user_id="u1", k=500, filters={name: [value]}, candidates=list(items.ids))
    assert set(ids_of(retrieved)) == set(ids_of(given_ones)) == carrying


def test_a_cold_item_is_scored_by_its_text_attributes_and_age(client, manifest):
    field = manifest.item_text[0].name

    def cold(**more):
        return {"item_id": "cold", "text": {field: "red running shoes"}, **more}

    moment = {"timestamp": "2026-11-22T12:00:00Z"}
    plain, other, old = (
        ask(client, query="red", candidates=[candidate], context=moment)["items"][0]
        for candidate in (
            cold(),
            {"item_id": "cold", "text": {field: "a garden lamp"}},
            cold(published="2020-01-01T00:00:00Z"),
        )
    )
    assert plain["tasks"] != other["tasks"]
    assert ("item_age" in manifest.features.use) == (plain["tasks"] != old["tasks"])


def test_candidates_that_are_all_unknown_are_an_empty_answer(client):
    answer = ask(client, user_id="u1", candidates=["ghost", "phantom", "ghost"])
    assert (answer["items"], answer["unknown_items"]) == ([], ["ghost", "phantom"])


def test_no_candidates_given_is_not_the_same_as_none_wanted(client):
    assert ask(client, user_id="u1", candidates=[])["items"] == []
    assert ask(client, user_id="u1")["items"]


def test_contributions_add_up_to_the_score(client, manifest):
    weights = {task.name: 1.0 + n for n, task in enumerate(task for task in manifest.answered if task.scalar)}
    for method in ("weighted_sum", "weighted_product"):
        answer = ask(client, user_id="u1", explain=True, fusion={"method": method, "weights": weights})
        for item in answer["items"]:
            assert sum(item["contributions"].values()) == pytest.approx(item["score"], abs=2e-6)


def test_weights_change_the_order(client, manifest):
    names = [task.name for task in manifest.answered if task.scalar][:2]
    orders = [ids_of(ask(client, user_id="u1", k=50, fusion={"weights": {name: 1.0}})) for name in names]
    assert orders[0] != orders[1]


def test_a_task_with_a_clock_is_read_at_the_moment(client, manifest):
    clocks = [task.name for task in manifest.tasks if task.clock]
    if not clocks:
        pytest.skip("no task with a clock")
    at = [
        ask(client, history=[], context={"timestamp": f"2026-11-22T{hour:02d}:00:00Z"}, k=1)["items"][0][
            "tasks"
        ][clocks[0]]
        for hour in (3, 9, 15, 21)
    ]
    assert len(set(at)) == 4


def test_a_profile_counts(client, manifest):
    if not manifest.profile_text:
        pytest.skip("no profiles in this bundle")
    name = manifest.profile_text[0].name
    moment = {"timestamp": "2026-11-22T12:00:00Z"}
    plain, profiled = (
        ask(client, history=[], context=moment),
        ask(client, history=[], context=moment, profile={name: "18-24"}),
    )
    assert plain["items"] != profiled["items"]
