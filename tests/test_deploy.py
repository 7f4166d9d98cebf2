"""Alarms and dashboard name only what the service really has."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest

from app.metrics import Metrics

LABELS = re.compile(r"^\| `(chorus_\w+)`(?: \{([\w, ]+)\})? \|", re.MULTILINE)
USED = re.compile(r"(chorus_\w+)(?:\{([^}]*)\})?")
SUFFIXES = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count"),
}
FOREIGN = {"instance", "job", "le"}  # set by Prometheus, or of every histogram


@pytest.fixture(scope="module")
def root(pytestconfig) -> Path:
    return pytestconfig.rootpath


@pytest.fixture(scope="module")
def names() -> dict[str, str]:
    """The series that the service has, and the name of each one's metric in the docs."""
    return {
        family.name + suffix: family.name + ("_total" if family.type == "counter" else "")
        for family in Metrics().collect()
        for suffix in SUFFIXES[family.type]
    }


def alarms(root: Path) -> Iterator[str]:
    for group in yaml.safe_load((root / "deploy" / "alerts.yml").read_text())["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


def drawn(root: Path) -> Iterator[str]:
    for panel in json.loads((root / "deploy" / "grafana.json").read_text())["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))


def test_alarms_and_dashboard_read_series_and_labels_that_exist(root, names):
    page = (root / "docs" / "operations.md").read_text()
    labels = {name: set(filter(None, told.split(", "))) for name, told in LABELS.findall(page)}
    expressions = [*alarms(root), *drawn(root)]
    assert len(expressions) > 30
    for expression in expressions:
        for name, selector in USED.findall(expression):
            assert name in names, f"{name} in {expression}"
            asked = set(re.findall(r"(\w+)\s*[=!]", selector))
            assert asked <= labels[names[name]] | FOREIGN, expression


def test_what_is_grouped_by_is_a_label_of_what_is_read(root, names):
    page = (root / "docs" / "operations.md").read_text()
    labels = {name: set(filter(None, told.split(", "))) for name, told in LABELS.findall(page)}
    for expression in [*alarms(root), *drawn(root)]:
        known = FOREIGN.union(*(labels[names[name]] for name, _ in USED.findall(expression)))
        for told in re.findall(r"by \(([^)]*)\)", expression):
            assert set(told.split(", ")) <= known, expression


def test_what_an_alarm_waits_for_to_grow_is_there_from_the_start(root):
    """To Prometheus a series that appears with its first count has not grown: the first one would go unnoticed."""
    shown = generate_latest(Metrics()).decode()
    waited = [told for each in alarms(root) for told in re.findall(r"increase\(([^\[]+)\[", each)]
    assert len(waited) > 1
    for series in waited:
        assert f"\n{series} 0.0\n" in shown


def test_every_metric_that_tells_of_harm_has_an_alarm(root):
    watched = " ".join(alarms(root))
    for name in ("ready", "redis_breaker_open", "requests_total", "rejected_total", "worker_restarts_total"):
        assert f"chorus_{name}" in watched


def test_panels_do_not_lie_on_one_another(root):
    board = json.loads((root / "deploy" / "grafana.json").read_text())
    taken: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in board["panels"]):
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian: prometheus) is not installed")
@pytest.mark.parametrize(
    "words", [("check", "config", "prometheus.yml"), ("test", "rules", "alerts.test.yml")]
)
def test_prometheus_takes_them_and_the_alarms_go_off_when_they_should(root, words):
    done = subprocess.run(
        ["promtool", *words], cwd=root / "deploy", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
