import math

import pytest

from app.golden import GOLDEN, _apart
from model_store.bundle import Bundle
from model_store.manifest import Task
from tests.live import metric, running


@pytest.fixture(scope="session")
def line(bundle):
    return Bundle.open(bundle).lines(GOLDEN)[0]


@pytest.fixture(scope="session")
def question(line):
    return line["request"]


@pytest.fixture(scope="session")
def answer(line):
    return line["expected"]


def test_a_bundle_that_answers_as_expected_is_served(republished, question, answer):
    with running(republished(GOLDEN, [{"request": question, "expected": answer}])) as client:
        assert client.get("/health/ready").status_code == 200
        assert metric(client, 'chorus_model_load_total{result="ready"}') == 1


def test_a_bundle_that_answers_otherwise_is_refused_with_line_item_and_task(republished, question, answer):
    item = next(iter(answer))
    task, value = next((name, value) for name, value in answer[item].items() if isinstance(value, float))
    wrong = answer | {item: answer[item] | {task: value + 10.0}}
    with running(republished(GOLDEN, [{"request": question, "expected": wrong}])) as client:
        ready = client.get("/health/ready")
        assert ready.status_code == 503
        assert f"line 1: {task} of {item} is" in ready.json()["reasons"][0]
        assert client.get("/health").json()["status"] == "failed"
        assert metric(client, 'chorus_model_load_total{result="refused"}') == 1


def test_a_bundle_that_weighs_its_tasks_otherwise_is_refused(republished, question, answer):
    item = next(iter(answer))
    line = {"request": question, "expected": answer, "scores": {item: 0.0}}
    with running(republished(GOLDEN, [line])) as client:
        assert f"line 1: the score of {item} is" in client.get("/health/ready").json()["reasons"][0]


def test_an_expected_item_that_is_not_answered_is_refused(republished, question, answer):
    with running(republished(GOLDEN, [{"request": question, "expected": answer | {"ghost": {}}}])) as client:
        assert "ghost is not in the answer" in client.get("/health/ready").json()["reasons"][0]


def test_a_golden_request_that_is_no_request_is_refused(republished):
    with running(republished(GOLDEN, [{"request": {"kk": 1}, "expected": {}}])) as client:
        assert "line 1: kk: is no field here" in client.get("/health/ready").json()["reasons"][0]


def test_expected_classes_beyond_the_answered_five_count_as_less(republished, question, answer, client):
    tasks = {task["name"]: task for task in client.get("/info").json()["tasks"]}
    many = [n for n, task in tasks.items() if len(task["classes"]) > 5 and not task["scalar"]]
    if not many:
        pytest.skip("no task with more than five classes")
    item = next(iter(answer))
    served = answer[item][many[0]]
    absent = next(name for name in tasks[many[0]]["classes"] if name not in served)
    wider = answer | {item: answer[item] | {many[0]: served | {absent: min(served.values())}}}
    with running(republished(GOLDEN, [{"request": question, "expected": wider}])) as other:
        assert other.get("/health/ready").status_code == 200


@pytest.mark.parametrize(
    ("wrong", "apart"),
    [({}, 0.0), ({"0.5": 21.3}, 0.001), ({"0.1": 4.5, "0.9": 130.0}, 0.1), ({"0.9": None}, math.inf)],
)
def test_quantiles_differ_by_the_worst_of_them_as_a_share_of_the_range(wrong, apart):
    task = Task(name="read", type="quantile", quantiles=(0.1, 0.5, 0.9), low=0.0, high=300.0)
    answered = {"0.1": 4.5, "0.5": 21.0, "0.9": 160.0}
    expected = {name: value for name, value in (answered | wrong).items() if value is not None}
    assert _apart(task, answered, expected) == pytest.approx(apart)


def test_what_redis_has_counted_and_shown_changes_no_golden_answer(client, settings, question, answer):
    items = list(answer)
    events = [
        {"item_ids": items, "event": "view"},
        *({"item_id": items[0], "event": "click"} for _ in range(50)),
    ]
    body = {**question, "k": len(items), "explain": True}
    before = client.post("/recommend", json=body).json()["items"]
    assert client.post("/events", json={"events": events}).json()["accepted"] == 51
    now = {name: value for name, value in question["context"].items() if name != "timestamp"}
    after = client.post("/recommend", json={**body, "context": now}).json()["items"]
    assert before != after
    with running(settings) as other:
        assert other.get("/health/ready").status_code == 200
