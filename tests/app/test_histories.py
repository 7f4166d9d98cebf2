import asyncio
import gzip
import json

import pytest

from app import histories, shown
from app.errors import Invalid
from app.link import Link
from app.metrics import Metrics
from app.state import State
from model_store.bundle import Bundle
from model_store.clock import Clock
from model_store.features import FeatureSet


@pytest.fixture(scope="session")
def manifest(bundle):
    return Bundle.open(bundle).manifest


@pytest.fixture(scope="session")
def click(manifest):
    return manifest.events[1]


@pytest.fixture
def load(settings, manifest):
    def run(path, user):
        async def work():
            link = Link(settings.redis_url, timeout=2.0, metrics=Metrics())
            state = State(link, settings, manifest, FeatureSet(manifest.features, Clock(manifest.timezone)))
            counts = await histories.load(path, state, manifest)
            found = await state.fetch([user], shown=[user])
            await link.close()
            return counts, found.users[user], found.shown[user]

        return asyncio.run(work())

    return run


def line(user, click, *days):
    events = [
        {"item_id": f"i{day}", "event": click, "timestamp": f"2026-11-{day:02d}T00:00:00Z"} for day in days
    ]
    return json.dumps({"user_id": user, "events": events, "profile": None}) + "\n"


@pytest.mark.parametrize("name", ["h.jsonl", "h.jsonl.gz"])
def test_each_line_is_stored_oldest_first(load, tmp_path, name, click):
    path = tmp_path / name
    text = line("hist:1", click, 3, 1, 2) + "\n" + line("hist:2", click)
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    counts, stored, _ = load(path, "hist:1")
    assert counts == (2, 3)
    assert [item for item, _, _ in stored.history] == ["i1", "i2", "i3"]


def test_a_profile_comes_along(load, tmp_path, manifest):
    if not manifest.profile_text:
        pytest.skip("no profiles in this bundle")
    name = manifest.profile_text[0].name
    path = tmp_path / "h.jsonl"
    path.write_text(json.dumps({"user_id": "hist:p", "profile": {name: "x"}}))
    assert load(path, "hist:p")[1].profile == {name: "x"}


def test_lists_that_were_shown_come_along_the_newest_first(load, tmp_path, manifest):
    lists = [{"timestamp": f"2026-11-0{day}T00:00:00Z", "item_ids": ["i1", f"i{day}"]} for day in (2, 1)]
    path = tmp_path / "h.jsonl"
    path.write_text(json.dumps({"user_id": "hist:s", "shown": lists}))
    stored = load(path, "hist:s")[2]
    assert [entry[8:] for entry in stored] == [shown.mark("i1") + shown.mark(item) for item in ("i2", "i1")]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "line 2: the body is not JSON"),
        ('{"user": "u"}', "line 2: .*user_id: is missing"),
        (
            '{"user_id": "u", "shown": [{"timestamp": "2026-11-22T00:00:00Z", "item_ids": []}]}',
            "item_ids: is empty",
        ),
        ('{"user_id": "u", "profile": {"shoe": 1}}', "line 2: profile.shoe: is unknown"),
        (
            '{"user_id": "u", "events": [{"item_id": "i", "event": "sneeze", "timestamp": "2026-11-22T00:00:00Z"}]}',
            r"line 2: events\[0\].event: 'sneeze' is no event of this model",
        ),
    ],
)
def test_a_bad_line_is_named_by_file_and_line(load, tmp_path, click, text, reason):
    path = tmp_path / "h.jsonl"
    path.write_text(line("hist:ok", click, 1) + text + "\n")
    with pytest.raises(Invalid, match=reason) as error:
        load(path, "hist:ok")
    assert str(error.value).startswith(str(path))
