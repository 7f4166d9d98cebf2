"""The golden answers once more, by model_store alone: what the service will compute, written down independently."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from model_store import limits
from model_store.bundle import Bundle
from model_store.engine import Engine
from model_store.features import FeatureSet
from model_store.fusion import Ranges
from model_store.history import History
from model_store.manifest import Task
from model_store.moment import Met, Moment, met
from model_store.taste import Grades, profile, shares
from model_store.text import render
from model_store.words import ASKED, MATCHES
from training.context import Replayed
from training.export import golden
from training.export.golden import CANDIDATES, GOLDEN, TOP, WARMUP, Standing


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
    until = manifest.statistics_until
    counted = engine.features.layout.read(items.statistics[candidates], np.array([until]))
    places = {
        name: {word: n for n, word in enumerate(words)} for name, words in manifest.features.words.items()
    }
    lifts = {manifest.events.index(event): told for event, told in engine.features.lifts.items()}
    grades = Grades(np.array(kinds, dtype=np.int64), np.zeros(len(kinds), dtype=np.int64), 1, lifts)
    asked = items.wording.asked(request.get("query", ""))
    moment = Moment(
        now=np.array([now]), published=np.asarray(items.published[candidates]),
        last_event=times[-1:] if len(times) else np.array([np.nan]),
        sizes=np.array([float(len(times))]), shares=tastes,
        habits={event: np.array([share(kinds, manifest.events.index(event))]) for event in engine.features.habits},
        moods={events: grades.mood(int(events)) for events in engine.features.moods},
        tastes={
            name: grades.taste(
                items.attributes[name].codes[rows], items.attributes[name].codes[candidates],
                np.zeros(len(candidates), dtype=np.int64), len(items.attributes[name].values),
            )
            for name in engine.features.tastes
        },
        statistics=counted.moved(np.array([now - until])),
        shown=Met(np.zeros(len(candidates)), np.full(len(candidates), np.nan)),
        again=met(np.array(candidates), np.array(rows, dtype=np.int64), times),
        numbers={name: items.numbers[name][candidates] for name in engine.features.numbers},
        kinds={
            name: items.attributes[name].places(known)[items.attributes[name].codes[candidates]]
            for name, known in manifest.features.values.items()
        },
        words={
            name: np.array([known.get(request["context"].get(name), -1)]) for name, known in places.items()
        },
        matches=dict(zip(MATCHES, asked.matched(items.wording.rows[candidates]), strict=True)),
        queries={name: np.array([value]) for name, value in zip(ASKED, asked.told(), strict=True)},
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


def share(kinds: np.ndarray, event: int) -> float:
    return float(np.mean(kinds == event)) if len(kinds) else np.nan


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


def test_the_scores_are_the_mean_of_all_tasks_that_can_be_weighed(opened, lines):
    manifest = opened.manifest
    scalar = [task for task in manifest.online_tasks if task.scalar]
    for line in lines:
        assert line["request"]["fusion"] == {
            "method": "weighted_sum", "weights": {task.name: 1.0 for task in scalar}
        }  # fmt: skip
        for item, tasks in line["expected"].items():
            values = [tasks[task.name] * (tasks[task.given] if task.given else 1.0) for task in scalar]
            mapped = Ranges(scalar).unit(np.array(values)[:, None])
            assert line["scores"][item] == pytest.approx(mapped.mean(), abs=1e-6)


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


def test_the_requests_name_nobody_and_say_what_is_known_of_their_context(opened, lines):
    for line in lines:
        assert "user_id" not in line["request"]
        assert line["request"]["context"]["device"] in opened.manifest.features.words["device"]


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


@pytest.mark.parametrize("query", ["x" * (limits.QUERY + 1), "a\0b"])
def test_what_the_service_would_refuse_is_no_request(bench, base, opened, tmp_path, query):
    dataset = bench.dataset
    first = next(int(n) for n in dataset.requests.of("validation") if dataset.requests.queries[n] >= 0)
    queries, texts = dataset.requests.queries.copy(), list(dataset.texts)
    texts[queries[first]] = query
    spoilt = replace(bench, dataset=replace(dataset, texts=texts))
    write(spoilt, base, opened, tmp_path)
    for name in ("golden.jsonl", "warmup.jsonl"):
        lines = Bundle(tmp_path, opened.manifest).lines(name)
        assert lines
        assert query not in [line.get("request", line).get("query") for line in lines]


def test_where_the_service_would_refuse_all_there_are_no_requests(bench, base, opened, tmp_path):
    long = ["x" * (limits.QUERY + 1)] * len(bench.dataset.texts)
    requests = bench.dataset.requests
    asked = replace(requests, queries=np.zeros_like(requests.queries))
    write(replace(bench, dataset=replace(bench.dataset, texts=long, requests=asked)), base, opened, tmp_path)
    assert (tmp_path / "golden.jsonl").read_text() == (tmp_path / "warmup.jsonl").read_text() == ""


def test_quantiles_are_answered_by_their_names(bench):
    task = Task(name="read", type="quantile", quantiles=(0.1, 0.5))
    values = np.array([1.5, 20.25], dtype=np.float32)
    assert golden.served(task, values, bench.dataset, 0.0) == {"0.1": 1.5, "0.5": 20.25}


@pytest.mark.parametrize("seconds", [0.0, 1_700_000_000.0, 1_700_000_000.123456])
def test_a_moment_is_iso_8601_with_an_offset_and_loses_no_microsecond(seconds):
    written = golden.moment(seconds)
    assert written.endswith("+00:00")
    assert datetime.fromisoformat(written).timestamp() == seconds


def write(bench, base, opened, folder, **changed):
    until = opened.manifest.statistics_until
    given = {"items": opened.items, "until": until, **changed}
    golden.write(bench.network, bench.dataset, base, **given, folder=folder)


def test_writing_again_chooses_the_same_requests(bench, base, opened, tmp_path):
    write(bench, base, opened, tmp_path)
    assert (tmp_path / "warmup.jsonl").read_bytes() == opened.path("warmup.jsonl").read_bytes()
    again = [line["request"] for line in Bundle(tmp_path, opened.manifest).lines("golden.jsonl")]
    assert again == [line["request"] for line in opened.lines("golden.jsonl")]


def test_the_answers_are_those_of_the_statistics_that_the_bundle_ships(bench, base, opened, tmp_path):
    """Other statistics, other answers: what was counted reaches the heads, and by these records alone."""
    nothing = FeatureSet(opened.manifest.features, bench.dataset.clock).layout.blank(len(opened.items))
    blank = replace(opened.items, statistics=nothing)
    write(bench, base, opened, tmp_path, items=blank)
    expected, other = (
        [line["expected"] for line in Bundle(folder, opened.manifest).lines("golden.jsonl")]
        for folder in (opened.folder, tmp_path)
    )
    moved = [
        abs(one[item]["click"] - also[item]["click"])
        for one, also in zip(expected, other, strict=True)
        for item in one
    ]
    assert max(moved) > 1e-3


# statistics as of the log's end


@pytest.fixture(scope="module")
def standing(opened, bench):
    layout = FeatureSet(bench.dataset.features, bench.dataset.clock).layout
    return Standing(opened.items, layout, opened.manifest.statistics_until)


def test_just_after_the_log_they_are_what_the_replay_says(standing, bench, opened):
    dataset, items = bench.dataset, np.arange(len(opened.items))
    now = np.full(len(items), np.nextafter(opened.manifest.statistics_until, np.inf))
    layout = FeatureSet(dataset.features, dataset.clock).layout
    found, replayed = (
        recall.statistics(items, now)
        for recall in (standing, Replayed(dataset.log, None, layout, len(items)))
    )
    assert found.counts.sum() > 0
    np.testing.assert_array_equal(found.counts, replayed.counts)
    np.testing.assert_allclose(found.last, replayed.last, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.first, replayed.first, rtol=0, atol=1e-5)


@pytest.mark.parametrize("moment", [-3e6, 3_600.0, 3e7])
def test_at_any_other_moment_they_are_as_long_ago_as_they_were_then(standing, opened, moment):
    items, until = np.array([5, 0, 5]), opened.manifest.statistics_until
    before = standing.statistics(items, np.full(3, until))
    after = standing.statistics(items, np.full(3, until + moment))
    np.testing.assert_array_equal(after.counts, before.counts)
    np.testing.assert_array_equal(after.last, before.last + moment)
    np.testing.assert_array_equal(after.first, before.first + moment)


def test_nothing_was_shown_to_nobody(standing):
    found = standing.shown(np.array([0, 1]), np.array([0, 1]), np.zeros(2))
    assert found.counts.tolist() == [0, 0]
    assert np.isnan(found.last).all()
