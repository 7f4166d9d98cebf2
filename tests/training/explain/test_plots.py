from pathlib import Path
from xml.etree import ElementTree

import pytest

from training.explain import plots
from training.explain.day import Day
from training.explain.importance import Importance, Worth

SVG = "{http://www.w3.org/2000/svg}"
TITLES = ("A <b>bold</b> & cheap mug for $5 or $7", "Smørrebrød “to go”")

WORTH = Importance(
    task="click",
    metric="impression_auc",
    value=0.7123,
    requests=1_234,
    rows=9_999,
    features=(
        Worth("rate:click/view", 10, "candidates", (0.05, 0.06, 0.07), 0.06, 0.01),
        Worth("hour", 4, "requests", (0.01, 0.02, 0.03), 0.02, 0.01),
        Worth("share:kind", 2, "candidates", (-0.001, 0.0, 0.001), 0.0, 0.001),
    ),
    together=Worth("together", 16, "candidates", (0.1, 0.1, 0.1), 0.1, 0.0),
)
DAY = Day(
    task="click",
    measure="predicted chance of click",
    date="2023-05-24",
    timezone="Europe/Copenhagen",
    user="u1",
    history=(50, 53),
    items=("i1", "i2"),
    titles=TITLES,
    scores=(tuple(n / 100 for n in range(24)), (0.1,) * 24),
    places=((2,) * 11 + (1,) * 13, (1,) * 11 + (2,) * 13),
    change=0.5,
    usual=0.2,
    users=50,
)
DRAWN = [(plots.bars, WORTH), (plots.heat, DAY)]


def texts(path: Path) -> list[str]:
    return ["".join(node.itertext()).strip() for node in ElementTree.parse(path).iter(f"{SVG}text")]  # noqa: S314


@pytest.mark.parametrize(("draw", "found"), DRAWN)
def test_the_same_numbers_make_the_same_bytes_without_a_date(tmp_path, draw, found):
    draw(found, tmp_path / "one.svg")
    draw(found, tmp_path / "two.svg")
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    assert "<dc:date>" not in (tmp_path / "one.svg").read_text()


def test_the_bars_name_every_feature_from_the_costliest_down_and_what_is_measured(tmp_path):
    plots.bars(WORTH, tmp_path / "bars.svg")
    told = texts(tmp_path / "bars.svg")
    names = [feature.name for feature in WORTH.features]
    assert [text for text in told if text in names] == names
    assert "What each feature is worth to click: per-impression AUC 0.7123 with all" in told
    assert "mean ± standard deviation of 3 permutations, 1,234 requests" in told
    drawn = (tmp_path / "bars.svg").read_text().lower()
    assert all(colour.lower() in drawn for colour in plots.COLOURS.values())
    assert set(plots.KINDS.values()) <= set(told)


def test_the_heat_map_has_24_hours_and_the_first_places_of_each(tmp_path):
    plots.heat(DAY, tmp_path / "heat.svg")
    told = texts(tmp_path / "heat.svg")
    assert {f"{hour:02d}" for hour in range(24)} <= set(told)
    assert told.count("1") == told.count("2") == 24
    assert "hour of the day, Europe/Copenhagen; 1, 2 and 3 are the first places of the hour" in told
    assert "of 50 users the one whose answers change most" in told


def test_titles_stand_as_text_whatever_is_in_them(tmp_path):
    plots.heat(DAY, tmp_path / "heat.svg")
    assert [text for text in texts(tmp_path / "heat.svg") if text in TITLES] == list(TITLES)


def test_scores_that_are_all_equal_can_be_drawn(tmp_path):
    flat = Day(**{**vars(DAY), "scores": ((0.1,) * 24,) * 2})
    plots.heat(flat, tmp_path / "heat.svg")
    assert "2" in texts(tmp_path / "heat.svg")
