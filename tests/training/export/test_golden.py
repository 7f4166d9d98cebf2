"""The golden answers once more, by model_store alone: what the service will compute, written down independently."""

from datetime import datetime
from typing import Any

import numpy as np
import pytest

from model_store.bundle import Bundle
from model_store.engine import Engine
from model_store.features import Moment, profile, shares
from model_store.history import History
from model_store.manifest import Task
from model_store.text import render
from training.export import golden
from training.export.golden import CANDIDATES, GOLDEN, TOP, WARMUP
from training.predict import predict


def answer(opened: Bundle, engine: Engine, request: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """item -> task -> served value of a request with inline history."""
    manifest, items = opened.manifest, opened.items
    events = [(items.rows[told["item_id"]], told["event"], told["timestamp"]) for told in request["history"]]
    rows = [row for row, _, _ in events]
    times = np.array([datetime.fromisoformat(written).timestamp() for _, _, written in events])
    kinds = np.array([manifest.events.index(name) for _, name, _ in events], dtype=np.int64)
    history = History(items.vectors[rows], kinds, times)
    if "profile" in request:
        history = history.opened_by(engine.text(render(manifest.profile_text, request["profile"])).vector)
    query = engine.text(request["query"]).vector if request.get("query") else None
    now = datetime.fromisoformat(request["context"]["timestamp"]).timestamp()
    candidates = [items.rows[item] for item in request["candidates"]]
    tastes = {}
    for name in engine.features.attributes:
        attribute = items.attributes[name]
        taste = profile(attribute.codes[rows], len(attribute.values))
        tastes[name] = shares(taste, attribute.codes[candidates])
    moment = Moment(
        now=np.array([now]), published=np.asarray(items.published[candidates]),
        last_event=times[-1:] if len(times) else np.array([np.nan]),
        sizes=np.array([float(len(times))]), shares=tastes,
    )  # fmt: skip
    heads = engine.heads(
        engine.user(history), query, items.vectors[candidates], engine.features.matrix(moment)
    )
    answers: dict[str, dict[str, Any]] = {item: {} for item in request["candidates"]}
    start = 0
    for task in manifest.tasks:
        if task.online:
            values = heads[task.name]
        else:
            values = items.outputs[candidates, start : start + task.width]
            start += task.width
        for item, value in zip(request["candidates"], values, strict=True):
            answers[item][task.name] = served(engine, task, value, now)
    return answers


def served(engine: Engine, task: Any, values: np.ndarray, now: float) -> Any:
    if task.clock:
        return values[engine.clock.bucket(np.array([now]), task.clock)[0]]
    return dict(zip(task.classes, values, strict=True)) if task.classes else values[0]


@pytest.fixture(scope="module")
def lines(opened):
    return opened.lines("golden.jsonl")


def test_training_and_serving_compute_the_same(opened, lines):
    engine, worst = Engine(opened, "cpu"), 0.0
    for line in lines:
        found = answer(opened, engine, line["request"])
        assert list(found) == list(line["expected"])
        for item, tasks in line["expected"].items():
            assert list(tasks) == [task.name for task in opened.manifest.answered]
            for name, value in tasks.items():
                task = opened.manifest.task(name)
                unit = max(1.0, task.high - task.low)
                pairs = [(found[item][name], value)]
                if isinstance(value, dict):
                    pairs = [(found[item][name][key], chance) for key, chance in value.items()]
                worst = max([worst, *(abs(one - other) / unit for one, other in pairs)])
    assert worst <= opened.manifest.golden_tolerance
    assert worst <= 1e-4, "within the tolerance, but not by the same computation"


def test_the_requests_are_of_every_kind(lines):
    requests = [line["request"] for line in lines]
    assert len(requests) == GOLDEN
    assert any(request["history"] for request in requests)
    assert any("query" in request for request in requests)
    assert any("query" not in request for request in requests)
    assert any("profile" in request for request in requests)
    assert all(1 <= len(request["candidates"]) <= CANDIDATES for request in requests)
    assert all(
        len(set(request["candidates"])) == len(request["candidates"]) == request["k"] for request in requests
    )


def test_the_classes_of_an_answer_are_the_likeliest(lines):
    for line in lines:
        for tasks in line["expected"].values():
            chances = list(tasks["category"].values())
            assert len(chances) == TOP
            assert chances == sorted(chances, reverse=True)
            assert sum(chances) <= 1 + 1e-5


def test_requests_to_warm_up_by_have_no_answers_and_are_others(opened, lines):
    warmup = opened.lines("warmup.jsonl")
    assert 0 < len(warmup) <= WARMUP
    assert not [request for request in warmup if "expected" in request]
    assert not [line for line in lines if line["request"] in warmup]


def test_a_body_is_the_request_as_the_data_set_holds_it(bench):
    dataset = bench.dataset
    number = int(np.argmax(np.diff(dataset.requests.history, axis=1)[:, 0]))
    request, rows = golden.body(dataset, number)
    assert [dataset.item_ids[dataset.rows[row]] for row in rows] == request["candidates"]
    times = [datetime.fromisoformat(told["timestamp"]).timestamp() for told in request["history"]]
    start, stop = dataset.requests.history[number]
    assert times == dataset.histories.times[start:stop].tolist()
    assert [told["item_id"] for told in request["history"]] == [
        dataset.item_ids[item] for item in dataset.histories.items[start:stop]
    ]
    assert (
        datetime.fromisoformat(request["context"]["timestamp"]).timestamp() == dataset.requests.times[number]
    )


def test_quantiles_are_answered_by_their_names(bench):
    task = Task(name="read", type="quantile", quantiles=(0.1, 0.5))
    values = np.array([1.5, 20.25], dtype=np.float32)
    assert golden.served(task, values, bench.dataset, 0.0) == {"0.1": 1.5, "0.5": 20.25}


@pytest.mark.parametrize("seconds", [0.0, 1_700_000_000.0, 1_700_000_000.123456])
def test_a_moment_is_iso_8601_with_an_offset_and_loses_no_microsecond(seconds):
    written = golden.moment(seconds)
    assert written.endswith("+00:00")
    assert datetime.fromisoformat(written).timestamp() == seconds


def test_writing_again_chooses_the_same_requests(bench, base, opened, tmp_path):
    predictions = predict(bench.network, bench.dataset, base, "validation")
    golden.write(bench.dataset, predictions, opened.items, tmp_path)
    assert (tmp_path / "warmup.jsonl").read_bytes() == opened.path("warmup.jsonl").read_bytes()
    again = [line["request"] for line in Bundle(tmp_path, opened.manifest).lines("golden.jsonl")]
    assert again == [line["request"] for line in opened.lines("golden.jsonl")]
