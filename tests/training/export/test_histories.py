"""What `load` will put into the service: as much as had happened by a time, and nothing of later."""

import gzip
import json
from datetime import datetime

import numpy as np
import pytest

from model_store.moment import SHOWN_LISTS
from tests.training import toy
from training.export import histories

USE = {"use": ["shown", "again", "history_size"]}


@pytest.fixture(scope="module")
def dataset():
    return toy.made(features=USE)


def told(dataset, folder, until):
    """By user, what is written."""
    histories.write(dataset, folder / "histories.jsonl.gz", until)
    with gzip.open(folder / "histories.jsonl.gz", "rt") as file:
        return {record["user_id"]: record for record in map(json.loads, file)}


def seconds(written):
    return datetime.fromisoformat(written).timestamp()


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_every_user_has_the_newest_events_up_to_the_time_itself_oldest_first(dataset, tmp_path, share):
    rows = toy.log()
    until = rows[int(share * (len(rows) - 1))]["time"]
    found = told(dataset, tmp_path, until)
    assert set(found) == set(dataset.user_ids) | set(dataset.records)
    for user in dataset.user_ids:
        record = found[user]
        past = [
            {"item_id": row["item"], "event": name, "timestamp": row["time"]}
            for row in rows
            for name in row["events"]
            if row["user"] == user and row["time"] <= until
        ]
        events = [{**event, "timestamp": seconds(event["timestamp"])} for event in record["events"]]
        assert events == past[-dataset.config.history.limit :]
        assert record["profile"] == dataset.records.get(user)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_every_user_has_the_lists_shown_up_to_the_time_itself_oldest_first(dataset, tmp_path, share):
    rows = toy.log()
    until = rows[int(share * (len(rows) - 1))]["time"]
    found = told(dataset, tmp_path, until)
    for user in dataset.user_ids:
        lists = {}
        for row in rows:
            if row["user"] == user and row["time"] <= until:
                lists.setdefault((row["time"], row["impression"]), []).append(row["item"])
        shown = [(seconds(one["timestamp"]), one["item_ids"]) for one in found[user]["shown"]]
        assert shown == [(time, items) for (time, _), items in lists.items()][-SHOWN_LISTS:]


def test_who_has_done_nothing_has_a_profile(dataset, tmp_path):
    assert "stranger" not in dataset.user_ids
    found = told(dataset, tmp_path, np.inf)["stranger"]
    assert found == {"user_id": "stranger", "profile": {"profile": "never seen"}}


def test_of_more_lists_than_are_remembered_the_newest_are_told(tmp_path):
    rows = [
        {
            "user": "u",
            "item": f"i{at % 12}",
            "time": float(at),
            "impression": f"l{at}",
            "click": float(at % 2),
        }
        for at in range(SHOWN_LISTS + 15)
    ]
    chosen = toy.settings(features=USE, tasks={"click": {"type": "binary", "label": "clicked"}})
    record = told(toy.build(rows, chosen), tmp_path, np.inf)["u"]
    assert [seconds(one["timestamp"]) for one in record["shown"]] == list(range(15, SHOWN_LISTS + 15))


def test_where_no_feature_asks_for_lists_none_are_told(tmp_path):
    assert all("shown" not in record for record in told(toy.made(), tmp_path, np.inf).values())


def test_a_user_of_later_only_has_no_past_but_is_there(dataset, tmp_path):
    found = told(dataset, tmp_path, 0.0)
    assert set(found) == set(dataset.user_ids) | set(dataset.records)
    assert all(found[user]["events"] == found[user]["shown"] == [] for user in dataset.user_ids)
    assert found["u0"]["profile"] == {"profile": "young odense"}
