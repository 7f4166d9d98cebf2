import numpy as np
import pytest
from prometheus_client import generate_latest

from app.drift import EVERY, FEWEST, WINDOW, Drift, index
from app.metrics import Metrics
from model_store.manifest import Task
from tests.app.plain import manifest

CLICK = Task(name="click", type="binary", main=True)
TIME = Task(name="time", type="multiclass", inputs="user_item", classes=("a", "b", "c"))
RATING = Task(name="rating", type="regression", low=1.0, high=5.0)
TRAINED = {
    "click": {"edges": [0.0, 0.25, 0.5, 1.0], "shares": [0.5, 0.3, 0.2]},
    "rating": {"edges": [1.0, 3.0, 5.0], "shares": [0.5, 0.5]},
}
TASKS = (CLICK, TIME, RATING)


def drift(metrics, label="stable"):
    watched = Drift(manifest(tasks=TASKS).model_copy(update={"histograms": TRAINED}), TASKS, metrics)
    watched.carry(label)
    return watched


def values(generator, size, clicks=(0.5, 0.3, 0.2)):
    """Outputs whose clicks fall into the bins of training so often, and whose ratings are even."""
    outputs = np.zeros((size, 5), dtype=np.float32)
    outputs[:, 0] = np.array([0.1, 0.3, 0.9])[generator.choice(3, size=size, p=clicks)]
    outputs[:, 4] = generator.uniform(1.0, 5.0, size)
    return outputs


def told(metrics, task, label="stable"):
    lines = generate_latest(metrics).decode().splitlines()
    found = [line for line in lines if line.startswith(f'chorus_task_drift{{label="{label}",task="{task}"}}')]
    return float(found[0].rpartition(" ")[2]) if found else None


def feed(drift, outputs):
    for row in outputs:
        drift.observe(row[None])


def test_values_as_in_training_are_no_drift_and_others_are():
    metrics, generator = Metrics(), np.random.default_rng(0)
    watched = drift(metrics)
    feed(watched, values(generator, 5_000))
    assert told(metrics, "click") < 0.01
    assert told(metrics, "rating") < 0.01
    feed(watched, values(generator, 2 * WINDOW, clicks=(0.1, 0.3, 0.6)))
    assert told(metrics, "click") > 0.25
    assert told(metrics, "rating") < 0.01


def test_what_was_long_ago_fades():
    metrics, generator = Metrics(), np.random.default_rng(0)
    watched = drift(metrics)
    feed(watched, values(generator, WINDOW, clicks=(0.1, 0.3, 0.6)))
    feed(watched, values(generator, 6 * WINDOW))
    assert told(metrics, "click") < 0.01


def test_few_values_say_nothing():
    metrics, generator = Metrics(), np.random.default_rng(0)
    watched = drift(metrics)
    feed(watched, values(generator, FEWEST - 1, clicks=(0.0, 0.0, 1.0)))
    assert told(metrics, "click") == 0.0
    feed(watched, values(generator, EVERY, clicks=(0.0, 0.0, 1.0)))
    assert told(metrics, "click") > 1.0


def test_one_candidate_of_a_run_counts_whichever_it_is():
    metrics, generator = Metrics(), np.random.default_rng(0)
    watched, outputs = drift(metrics), values(generator, 50)
    for _ in range(2 * FEWEST):
        watched.observe(outputs)
    text = generate_latest(metrics).decode()
    assert f'chorus_task_value_count{{label="stable",task="click"}} {2.0 * FEWEST}' in text
    assert f'chorus_task_value_count{{label="stable",task="rating"}} {2.0 * FEWEST}' in text
    assert 'task="time"' not in text
    low = text.split('chorus_task_value_bucket{label="stable",le="0.2",task="click"} ')[1].split()[0]
    assert float(low) / (2 * FEWEST) == pytest.approx(float((outputs[:, 0] < 0.2).mean()), abs=0.05)


def test_values_outside_of_training_are_of_the_ends():
    metrics = Metrics()
    watched = drift(metrics)
    row = np.array([[2.0, 0.0, 0.0, 0.0, -7.0]], dtype=np.float32)
    for _ in range(FEWEST):
        watched.observe(row)
    assert told(metrics, "click") > 1.0
    assert told(metrics, "rating") > 1.0


def test_values_are_counted_under_the_label_of_their_version_and_none_without():
    metrics, generator = Metrics(), np.random.default_rng(0)
    watched = drift(metrics, None)
    feed(watched, values(generator, FEWEST))
    assert told(metrics, "click") is None
    watched.carry("canary")
    feed(watched, values(generator, 2 * FEWEST, clicks=(0.0, 0.0, 1.0)))
    assert told(metrics, "click", "canary") > 1.0
    watched.carry("stable")
    assert told(metrics, "click", "canary") == 0.0
    feed(watched, values(generator, EVERY))
    assert told(metrics, "click") > 0.25


def test_the_index_is_that_of_the_formula_and_zero_for_equals():
    now, before = np.array([0.2, 0.3, 0.5]), np.array([0.5, 0.3, 0.2])
    expected = 0.3 * np.log(0.5 / 0.2) + 0.3 * np.log(0.5 / 0.2)
    assert index(now, before) == pytest.approx(expected)
    assert index(before, before) == 0.0
