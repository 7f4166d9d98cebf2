"""Versions with labels, as an admin and as users see them."""

import asyncio
from contextlib import asynccontextmanager
from shutil import rmtree

import pytest

from app.settings import Settings
from tests.admin import HEADERS, keys
from tests.live import serving, value
from tests.shelves import publish

USERS = [f"admin:{number}" for number in range(60)]
BODY = {"query": "a red mug", "k": 3}


@pytest.fixture(scope="module")
def own(bundle, tmp_path_factory, redis_server):
    """Three versions, of which the first is stable."""
    folder = tmp_path_factory.mktemp("admin")
    for _ in range(3):
        publish(bundle, folder / "shelf")
    return Settings(
        store=folder / "shelf", version=1, redis_url=redis_server.url, redis_timeout_ms=2_000,
        api_keys_file=keys(folder),
    )  # fmt: skip


@asynccontextmanager
async def opened(settings, **changed):
    """A client who may do anything, and the service."""
    async with serving(settings.model_copy(update=changed)) as (client, service):
        client.headers.update(HEADERS)
        yield client, service


def with_canary(settings, work, **changed):
    """Runs work with a client, the service and the users of each version."""

    async def run():
        async with opened(settings, **{"canary": "2:0.4"} | changed) as (client, service):
            split = {"stable": [], "canary": []}
            for user in USERS:
                split[service.choice.of(user)[0]].append(user)
            await work(client, service, split)

    asyncio.run(run())


async def label(client, version, name, **more):
    answer = await client.post("/admin/versions", json={"version": version, "label": name, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def answered(client, user=None, **headers):
    """The version that answers, as the body and the header say."""
    body = BODY if user is None else BODY | {"user_id": user}
    answer = await client.post("/recommend", json=body, headers=headers)
    version = answer.json()["model"]["version"]
    assert answer.headers["X-Model-Version"] == f"{answer.json()['model']['name']}/{version}"
    return version


def test_a_canary_answers_the_same_share_of_the_users_until_it_is_promoted_or_dropped(own):
    async def run():
        async with opened(own) as (client, service):
            told = await label(client, 2, "canary", share=0.1)
            assert (told["served"], told["canary"]) == (1, {"version": 2, "share": 0.1})
            few = {user for user in USERS if await answered(client, user) == 2}
            assert few == {user for user in USERS if service.choice.of(user)[0] == "canary"}
            loads = 'chorus_model_load_total{result="ready"}'
            before = value((await client.get("/metrics")).text, loads)
            await label(client, 2, "canary", share=0.4)
            more = {user for user in USERS if await answered(client, user) == 2}
            assert few < more < set(USERS)
            told = (await client.post("/admin/promote")).json()
            assert (told["served"], told["previous"], told["canary"]) == (2, 1, None)
            assert {await answered(client, user) for user in USERS} == {2}
            told = (await client.post("/admin/rollback")).json()
            assert (told["served"], told["previous"]) == (1, 2)
            await label(client, 2, "canary", share=0.4)
            assert {user for user in USERS if await answered(client, user) == 2} == more
            told = (await client.post("/admin/drop", json={"label": "canary"})).json()
            assert (told["served"], told["previous"], told["canary"]) == (1, 2, None)
            assert {await answered(client, user) for user in USERS} == {1}
            assert value((await client.get("/metrics")).text, loads) == before  # it was held all the time

    asyncio.run(run())


def test_a_roll_back_while_there_is_a_canary_drops_it_and_nothing_else(own):
    async def work(client, service, split):
        told = (await client.post("/admin/rollback")).json()
        assert (told["served"], told["previous"], told["canary"]) == (1, None, None)
        assert {await answered(client, user) for user in split["canary"]} == {1}
        assert len(service.versions._models) == 1

    with_canary(own, work)


def test_whoever_names_no_user_is_answered_by_the_id_of_the_request(own):
    async def work(client, service, _):
        for number in range(20):
            name = f"session-{number}"
            expected = 2 if service.choice.of(name)[0] == "canary" else 1
            assert await answered(client, **{"X-Request-Id": name}) == expected

    with_canary(own, work)


def test_users_of_a_batch_are_each_ranked_by_their_own_version(own):
    async def work(client, _, split):
        requests = [BODY | {"user_id": user} for user in USERS] + [{"k": 1}]
        answer = await client.post("/recommend/batch", json={"requests": requests})
        versions = answer.headers["X-Model-Version"].split(", ")
        assert {each.rpartition("/")[2] for each in versions} == {"1", "2"}
        *results, wrong = answer.json()["results"]
        assert wrong["status"] == 422
        told = {user: each["model"]["version"] for user, each in zip(USERS, results, strict=True)}
        assert told == dict.fromkeys(split["stable"], 1) | dict.fromkeys(split["canary"], 2)
        for user, result in zip(USERS[:10], results, strict=False):
            alone = (await client.post("/recommend", json=BODY | {"user_id": user})).json()
            assert [each["item_id"] for each in alone["items"]] == [
                each["item_id"] for each in result["items"]
            ]

    with_canary(own, work)


def test_pairs_are_each_scored_by_the_version_of_their_user(own):
    async def work(client, service, split):
        item = service.model.bundle.items.ids[0]
        users = [split["canary"][0], *split["stable"][:2], split["canary"][1]]
        body = {"pairs": [{"user_id": user, "item_id": item} for user in users]}
        told = (await client.post("/score", json=body)).json()
        assert told["model"]["version"] == 2  # that of the first
        assert [each.get("model", {}).get("version") for each in told["results"]] == [None, 1, 1, None]
        body = {"pairs": [{"user_id": user, "item_id": item} for user in split["stable"]]}
        told = (await client.post("/score", json=body)).json()
        assert told["model"]["version"] == 1
        assert not any("model" in each for each in told["results"])

    with_canary(own, work)


def test_an_event_and_a_changed_item_are_known_to_the_canary_when_they_are_answered(own):
    async def work(client, service, split):
        user, first = split["canary"][0], service.model.bundle.items.ids[0]
        body = {"user_id": user, "candidates": [first, "fresh"], "exclude_seen": True}

        async def found():
            answer = (await client.post("/recommend", json=body)).json()
            assert answer["model"]["version"] == 2
            return [item["item_id"] for item in answer["items"]], answer["unknown_items"]

        assert await found() == ([first], ["fresh"])  # and now it has copies
        item = {"item_id": "fresh", "text": {"title": "a fresh mug"}}
        assert (await client.put("/items", json={"items": [item]})).json()["results"][0]["status"] == 200
        items, unknown = await found()
        assert (sorted(items), unknown) == (sorted([first, "fresh"]), [])
        event = {"user_id": user, "item_id": first, "event": service.model.manifest.events[1]}
        assert (await client.post("/events", json=event)).json()["accepted"] == 1
        assert await found() == (["fresh"], [])
        await client.delete("/items/fresh")
        assert await found() == ([], ["fresh"])

    with_canary(own, work)


def test_metrics_tell_the_versions_apart(own):
    async def work(client, service, split):
        asked = {"stable": split["stable"][:5], "canary": split["canary"][:3]}
        for user in asked["stable"] + asked["canary"]:
            await answered(client, user)
        await client.post("/recommend", json=BODY | {"user_id": split["canary"][0], "filters": {"no": ["x"]}})
        text = (await client.get("/metrics")).text
        for name, users in asked.items():
            labels = f'label="{name}"'
            assert value(text, f'chorus_answers_total{{code="200",{labels}}}') == len(users)
            assert value(text, f"chorus_score_count{{{labels}}}") == len(users)
        assert value(text, 'chorus_answers_total{code="422",label="canary"}') == 1
        assert value(text, 'chorus_answer_duration_seconds_count{label="canary"}') == 4
        info = [line for line in text.splitlines() if line.startswith("chorus_model_info{")]
        assert [('label="canary"' in line, 'version="2"' in line, line[-3:]) for line in sorted(info)] == [
            (True, True, "1.0"), (False, False, "1.0"),
        ]  # fmt: skip
        await client.post("/admin/promote")
        text = (await client.get("/metrics")).text
        ones = {
            line for line in text.splitlines() if line.startswith("chorus_model_info{") and line[-3:] == "1.0"
        }
        assert len(ones) == 1
        assert 'label="stable"' in ones.pop()

    with_canary(own, work)


def test_what_users_do_is_told_by_the_version_that_answers_them(own):
    async def work(client, service, split):
        items, event = service.model.bundle.items.ids[:3], service.model.manifest.events[1]

        async def told(*events):
            answer = (await client.post("/events", json={"events": list(events)})).json()
            return answer["accepted"] - answer["duplicates"]

        did = [(split["stable"][0], 2), (split["canary"][0], 3), (split["canary"][1], 1)]
        for user, many in did:
            events = [
                {"user_id": user, "item_id": items[n], "event": event, "event_id": f"e{n}"}
                for n in range(many)
            ]
            assert await told(*events) == many
            assert await told(*events) == 0  # as they were told before, they count once
        assert await told({"user_id": split["stable"][0], "event": "no such event", "item_id": items[0]}) == 0
        text = (await client.get("/metrics")).text
        found = {line for line in text.splitlines() if line.startswith("chorus_outcomes_total{")}
        assert found == {
            f'chorus_outcomes_total{{event="{event}",label="stable"}} 2.0',
            f'chorus_outcomes_total{{event="{event}",label="canary"}} 4.0',
        }

    with_canary(own, work)


def test_a_bad_canary_is_refused_and_nobody_is_answered_by_it(own, bundle):
    version = publish(bundle, own.store, lambda draft: (draft / "heads.onnx").write_bytes(b"no graph"))

    async def run():
        async with opened(own) as (client, service):
            body = {"version": version, "label": "canary", "share": 0.5}
            answer = await client.post("/admin/versions", json=body)
            assert (answer.status_code, "could not be opened" in answer.json()["error"]) == (409, True)
            told = (await client.get("/admin/versions")).json()
            assert (told["served"], told["canary"], told["refused"]["version"]) == (1, None, version)
            assert list(service.versions._models) == [1]
            assert {await answered(client, user) for user in USERS[:10]} == {1}

    asyncio.run(run())


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("versions", {"version": 2, "label": "canary"}, 422, "give share"),
        ("versions", {"version": 2, "label": "canary", "share": 0.6}, 422, "0.5 at most"),
        ("versions", {"version": 2, "label": "canary", "share": 0.0}, 422, "share above 0"),
        ("versions", {"version": 2, "share": 0.1}, 422, "gives a share to the stable version"),
        ("versions", {"version": 2, "label": "green"}, 422, "label"),
        ("versions", {"version": 1, "label": "canary", "share": 0.1}, 409, "is stable"),
        ("versions", {"version": 9, "label": "canary", "share": 0.1}, 404, "no version 9"),
        ("promote", None, 409, "there is no canary"),
        ("drop", {"label": "canary"}, 409, "nothing to drop"),
        ("drop", {"label": "stable"}, 422, "label"),
    ],
)
def test_what_cannot_be_is_told_with_the_reason_and_changes_nothing(own, path, body, status, said):
    async def run():
        async with opened(own) as (client, _):
            answer = await client.post(f"/admin/{path}", json=body)
            assert (answer.status_code, said in answer.json()["error"]) == (status, True), answer.text
            told = (await client.get("/admin/versions")).json()
            assert (told["served"], told["canary"], told["loading"]) == (1, None, None)

    asyncio.run(run())


def test_a_version_that_was_taken_off_the_shelf_is_not_served_for_the_one_published_next(
    bundle, tmp_path, own
):
    for _ in range(2):
        publish(bundle, tmp_path)

    async def run():
        async with opened(own, store=tmp_path) as (client, _):
            await label(client, 2, "stable")
            assert (await client.post("/admin/rollback")).json()["previous"] == 2  # it is held
            rmtree(tmp_path / "shop" / "2")
            publish(bundle, tmp_path)
            assert (await label(client, "newest", "stable"))["served"] == 3
            assert await answered(client) == 3

    asyncio.run(run())
