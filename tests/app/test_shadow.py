"""A version that is compared with the one that answers, over HTTP, and nobody notices."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from app.settings import Settings
from model_store.manifest import FusionDefault
from tests.admin import HEADERS, keys
from tests.live import eventually_async, serving, value
from tests.shelves import publish

COUNTED = 'chorus_shadow_requests_total{result="%s"}'
BODY = {"user_id": "shadow:1", "query": "a red mug", "k": 5}


@pytest.fixture(scope="module")
def own(bundle, tmp_path_factory, redis_server):
    """A version, the same again, and one that weighs its heads otherwise."""
    folder = tmp_path_factory.mktemp("shadow")
    for fields in ({}, {}, {"fusion": FusionDefault(weights={"query_match": 1.0})}):
        publish(bundle, folder / "shelf", **fields)
    return Settings(
        store=folder / "shelf", version=1, redis_url=redis_server.url, redis_timeout_ms=2_000,
        api_keys_file=keys(folder),
    )  # fmt: skip


@asynccontextmanager
async def opened(settings, shadow=None):
    async with serving(settings.model_copy(update={"shadow": shadow})) as (client, service):
        client.headers.update(HEADERS)
        yield client, service


async def told(client, line):
    return value((await client.get("/metrics")).text, line)


async def compared(client):
    """Asks until a request was compared; the metrics then."""

    async def enough():
        answer = await client.post("/recommend", json=BODY)
        assert (answer.status_code, answer.json()["model"]["version"]) == (200, 1)
        await asyncio.sleep(0.01)
        return await told(client, COUNTED % "compared") >= 1

    await eventually_async(enough)
    return (await client.get("/metrics")).text


def test_a_shadow_that_is_the_same_differs_by_nothing(own):
    async def run():
        async with opened(own, "2:1") as (client, _):
            text = await compared(client)
            number = value(text, "chorus_shadow_overlap_count")
            assert number >= 1
            assert value(text, "chorus_shadow_overlap_sum") == number
            differences = [line for line in text.splitlines() if "chorus_shadow_difference_sum" in line]
            assert {line.split('task="')[1].split('"')[0] for line in differences} >= {"score", "click"}
            assert all(float(line.rpartition(" ")[2]) < 1e-4 for line in differences)
            assert value(text, "chorus_shadow_duration_seconds_count") == number
            assert value(text, COUNTED % "failed") == 0

    asyncio.run(run())


def test_a_shadow_that_weighs_its_heads_otherwise_differs_in_scores_alone(own):
    async def run():
        async with opened(own, "3:1") as (client, _):
            text = await compared(client)
            assert value(text, 'chorus_shadow_difference_sum{task="score"}') > 0.01
            assert value(text, 'chorus_shadow_difference_sum{task="click"}') < 1e-4
            compares = value(text, "chorus_shadow_overlap_count")
            assert 0.0 < value(text, "chorus_shadow_overlap_sum") <= compares

    asyncio.run(run())


def test_answers_are_the_same_with_a_shadow_and_it_answers_nobody(own):
    async def run():
        async with opened(own) as (client, _):
            before = (await client.post("/recommend", json=BODY)).json()
            body = {"version": 3, "label": "shadow", "share": 0.5}
            shown = (await client.post("/admin/versions", json=body)).json()
            assert (shown["served"], shown["shadow"]) == (1, {"version": 3, "share": 0.5})
            text = await compared(client)
            after = await client.post("/recommend", json=BODY)
            assert [item["item_id"] for item in after.json()["items"]] == [
                item["item_id"] for item in before["items"]
            ]
            assert after.headers["X-Model-Version"].endswith("/1")
            assert 'chorus_answers_total{code="200",label="shadow"}' not in text
            assert value(text, 'chorus_score_count{label="shadow"}') == value(text, COUNTED % "compared")
            shown = (await client.post("/admin/drop", json={"label": "shadow"})).json()
            assert shown["shadow"] is None
            number = await told(client, COUNTED % "compared")
            await client.post("/recommend", json=BODY)
            await asyncio.sleep(0.05)
            assert await told(client, COUNTED % "compared") == number

    asyncio.run(run())


def test_while_anybody_else_is_answered_requests_are_dropped_and_counted(own):
    async def run():
        async with opened(own, "2:1") as (client, service):
            service.metrics.in_progress.inc()  # somebody who is slow
            for number in range(1, 4):
                await client.post("/recommend", json=BODY)
                await asyncio.sleep(0.05)
                assert await told(client, COUNTED % "dropped") == number
            service.metrics.in_progress.dec()
            await compared(client)

    asyncio.run(run())


def test_one_request_at_a_time_is_compared(own):
    async def run():
        async with opened(own, "2:1") as (client, _):
            await asyncio.gather(*(client.post("/recommend", json=BODY) for _ in range(8)))
            await asyncio.sleep(0.05)
            text = (await client.get("/metrics")).text
            counted = {name: value(text, COUNTED % name) for name in ("compared", "dropped", "failed")}
            assert counted["compared"] <= 1
            assert counted["dropped"] >= 7
            assert sum(counted.values()) <= 8

    asyncio.run(run())


def test_a_share_of_the_requests_is_compared_and_the_others_are_not_even_counted(own):
    async def run():
        async with opened(own, "2:0.000001") as (client, _):
            for _ in range(5):
                await client.post("/recommend", json=BODY)
            await asyncio.sleep(0.05)
            assert await told(client, COUNTED % "compared") + await told(client, COUNTED % "dropped") == 0

    asyncio.run(run())


def test_a_shadow_that_fails_is_counted_and_the_answers_go_on(own):
    async def run():
        async with opened(own, "2:1") as (client, service):
            service.versions.active[1].pools.heads.shutdown()

            async def failed():
                assert (await client.post("/recommend", json=BODY)).status_code == 200
                await asyncio.sleep(0.01)
                return await told(client, COUNTED % "failed") >= 1

            await eventually_async(failed)
            assert (await client.get("/health/ready")).status_code == 200

    asyncio.run(run())


def test_what_the_canary_answers_is_not_compared(own):
    async def run():
        async with opened(own.model_copy(update={"canary": "3:0.5"}), "2:1") as (client, service):
            user = next(str(n) for n in range(100) if service.choice.of(str(n))[0] == "canary")
            answer = await client.post("/recommend", json=BODY | {"user_id": user})
            assert answer.json()["model"]["version"] == 3
            await asyncio.sleep(0.05)
            assert await told(client, COUNTED % "compared") + await told(client, COUNTED % "dropped") == 0

    asyncio.run(run())
