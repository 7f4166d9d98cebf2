"""A shelf whose volume hangs: what looks at it waits, and nobody else."""

import asyncio
import sys
from threading import Event

import pytest

from app import versions, volume
from app.errors import Refused
from tests.admin import HEADERS, keys
from tests.live import serving
from tests.shelves import publish

hanging: dict[str, Event] = {}  # who looks at these folders and files waits; a hook cannot be taken out again


def hang(event, given):
    if hanging and event in ("os.listdir", "os.scandir", "open") and (ends := hanging.get(str(given[0]))):
        ends.wait(20.0)  # for a test that fails


sys.addaudithook(hang)


@pytest.fixture
def settings(bundle, tmp_path, settings):
    for _ in range(3):
        publish(bundle, tmp_path)
    changed = {"store": tmp_path, "version": 1, "canary": "2:0.1", "api_keys_file": keys(tmp_path)}
    return settings.model_copy(update=changed)


@pytest.fixture
def hung(settings, monkeypatch):
    """Have the shelf hang from now on; patience with it is short."""
    monkeypatch.setattr(volume, "SECONDS", 0.3)
    ends = Event()
    yield lambda *below: hanging.__setitem__(str(settings.store.joinpath("shop", *below)), ends)
    hanging.clear()
    ends.set()


def test_requests_are_answered_while_the_shelf_hangs_and_versions_that_are_held_change(settings, hung):
    async def run():
        async with serving(settings) as (client, _):
            client.headers.update(HEADERS)
            hung()
            looks = [
                asyncio.create_task(client.get("/admin/versions")),
                asyncio.create_task(client.post("/admin/versions", json={"version": "newest"})),
            ]
            await asyncio.sleep(0.05)
            assert (await client.post("/recommend", json={"query": "a mug"})).status_code == 200
            assert not any(look.done() for look in looks)
            shown, newest = await asyncio.gather(*looks)
            assert (shown.status_code, shown.json()["served"], shown.json()["shelf"]) == (200, 1, None)
            assert (newest.status_code, newest.json()["error_type"]) == (409, "refused")
            assert "has not answered" in newest.json()["error"]
            more = await client.post("/admin/versions", json={"version": 2, "label": "canary", "share": 0.5})
            assert (more.status_code, more.json()["canary"]) == (200, {"version": 2, "share": 0.5})
            assert (await client.post("/admin/promote")).json()["served"] == 2
            assert (await client.post("/admin/rollback")).json()["served"] == 1

    asyncio.run(run())


def test_a_version_that_is_never_loaded_is_given_up_and_others_change_then(settings, hung, monkeypatch):
    monkeypatch.setattr(versions, "PATIENCE_SECONDS", 0.5)

    async def run():
        async with serving(settings) as (client, service):
            client.headers.update(HEADERS)
            hung("3", "manifest.json")
            asked = await client.post("/admin/versions", json={"version": 3})
            assert (asked.status_code, "was not loaded within" in asked.json()["error"]) == (409, True)
            assert (await client.get("/health")).json()["refused"]["version"] == 3
            assert (await client.post("/admin/promote")).json()["served"] == 2
            assert service.versions.loading is None

    asyncio.run(run())


def test_what_a_look_finds_or_raises_is_told():
    def fails():
        raise OSError("stale file handle")

    assert asyncio.run(volume.ask(lambda: 7)) == 7
    with pytest.raises(OSError, match="stale"):
        asyncio.run(volume.ask(fails))


def test_a_look_that_ends_after_all_troubles_nobody(monkeypatch):
    monkeypatch.setattr(volume, "SECONDS", 0.05)

    async def run():
        ends = Event()
        with pytest.raises(Refused, match="has not answered"):
            await volume.ask(ends.wait)
        ends.set()
        assert await volume.ask(lambda: "next") == "next"

    asyncio.run(run())
