"""What one version has at hand when it takes another's place."""

import asyncio

import pytest

from app.labels import Wish
from app.settings import Settings
from tests.live import serving, value
from tests.shelves import publish

USERS, QUERIES = [f"handed-{n}" for n in range(9)], ["a red mug", "a gift"]
ENCODES = ('chorus_encodes_total{encoder="user"}', 'chorus_encodes_total{encoder="text"}')


@pytest.fixture
def own(tmp_path, bundle, redis_server):
    """A shelf of one's own with two versions, of which no vector is known to Redis."""
    for name in ("one", "other"):
        publish(bundle, tmp_path, lambda draft, name=name: (draft / "note").write_text(f"{name} {tmp_path}"))
    return Settings(store=tmp_path, version=1, redis_url=redis_server.url, redis_timeout_ms=2_000)


def test_what_was_asked_of_the_version_before_is_at_hand(own):
    item = {"item_id": "i0001", "event": "click"}

    async def ask(client):
        bodies = [{"user_id": user, "query": query} for user in USERS for query in QUERIES]
        return [(await client.post("/recommend", json=body)).json()["model"]["version"] for body in bodies]

    async def encodes(client):
        text = (await client.get("/metrics")).text
        return [value(text, name) for name in ENCODES]

    async def run():
        async with serving(own) as (client, service):
            events = [{"user_id": user} | item for user in USERS]
            assert (await client.post("/events", json={"events": events})).json()["accepted"] == len(USERS)
            assert set(await ask(client)) == {1}
            before = await encodes(client)
            await service.take(Wish(version=2))
            loaded = await encodes(client)
            new = [now - then for now, then in zip(loaded, before, strict=True)]
            assert new >= [len(USERS), len(QUERIES)]
            assert set(await ask(client)) == {2}
            assert await encodes(client) == loaded

    asyncio.run(run())
