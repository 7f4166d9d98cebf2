from xml.etree import ElementTree

import pytest

from training import charts
from training.worth import Interval, Worth

EPOCHS = [
    {
        "epoch": 1,
        "decides": 2.0,
        "losses": {"click": 1.0, "rare": 0.9},
        "weights": {"click": 1.0, "rare": 2.0},
    },
    {"epoch": 2, "decides": 1.5, "losses": {"click": 0.8}, "weights": {"click": 1.1}},
]
USAGE = {
    "click": {"experts": [0.25, 0.75, 0.0], "entropy": 0.8},
    "dwell": {"experts": [0.9, 0.0, 0.1], "entropy": 0.3},
}
BINS = {
    "click": {"said": [0.1, 0.5], "seen": [0.2, 0.4], "rows": [5, 5]},
    "none": {"said": [], "seen": [], "rows": []},
}
FOUND = [
    Worth("click", "auc", 0.8, 0.7, Interval(0.1, 0.02), Interval(0.14, 0.03)),
    Worth("dwell", "rmse", 2.0, 2.1, Interval(0.1, None), Interval(0.05, None)),
]


@pytest.mark.parametrize(("draw", "told", "words"), [
    (charts.learning, EPOCHS, ("click", "rare", "epoch", "weight")),
    (charts.gates, USAGE, ("dwell", "0.75", "expert")),
    (charts.reliability, BINS, ("click", "chance that was told")),
    (charts.worth, FOUND, ("click (auc)", "dwell (rmse)")),
])  # fmt: skip
def test_a_plot_is_svg_with_its_words_as_text_and_the_same_every_time(tmp_path, draw, told, words):
    for name in ("one", "two"):
        draw(told, tmp_path / f"{name}.svg")
    text = (tmp_path / "one.svg").read_text()
    assert text == (tmp_path / "two.svg").read_text()
    written = " ".join("".join(node.itertext()) for node in ElementTree.fromstring(text).iter())  # noqa: S314
    assert all(word in written for word in words)


def test_an_expert_that_a_task_does_not_see_has_no_number(tmp_path):
    charts.gates(USAGE, tmp_path / "gates.svg")
    assert "0.00" not in (tmp_path / "gates.svg").read_text().partition("<defs>")[0]
