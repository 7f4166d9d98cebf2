"""Every row and column that has a name has one, and only one."""

import pytest

from tests.training import toy
from training.axes import axes, names
from training.study import Study

FEATURES = ["hour", "item_age", "share:kind", "is:kind", "count:click", "rate:buy/click:1h", "context:device",
            "list:count:click", "list:item_age", "again"]  # fmt: skip
MODELS = [
    {"sharing": "shared_bottom"}, {"sharing": "mmoe", "factors": 3}, {"sharing": "ple", "own_experts": 2},
    {"sharing": "alone", "projections": True}, {"item_ids": True}, {"sharing": "ple", "levels": 3},
]  # fmt: skip


@pytest.fixture
def made(workbench, tmp_path):
    """A network and its data set, with features of every form."""

    def make(**model):
        bench = workbench(
            model=model,
            events={"context": ["device"]},
            features={"use": FEATURES, "windows": ["1h", "7d"]},
            history={"events": {"click": "clicked", "buy": "bought"}, "grades": {"buy": 1.0, "click": 0.0}},
        )
        return bench.network, bench.dataset

    return make


@pytest.mark.parametrize("model", MODELS)
def test_each_named_axis_has_as_many_names_as_it_is_long(made, model):
    network, dataset = made(**model)
    found = names(network, dataset)
    met = set()
    for name, value in network.state_dict().items():
        about = axes(name, value.ndim)
        assert len(about) == value.ndim
        for axis, size in zip(about, value.shape, strict=True):
            last = "levels.1" in name  # has no gate of what is shared
            assert not axis or len(found[axis]) - last * network.heads.mix.experts == size, name
            met.add(axis)
    assert {"first", "context", "events", "classes of kind", "classes of time"} <= met
    assert ("items" in met) == bool(model.get("factors") or model.get("item_ids"))


@pytest.mark.parametrize("model", MODELS)
def test_no_two_rows_or_columns_have_the_same_name(made, model):
    for each in names(*made(**model)).values():
        assert len(set(each)) == len(each)


def test_columns_are_told_by_what_they_say(made):
    columns = names(*made())["context"]
    assert {
        "count:click 1h ",
        "count:click 7d ",
        "is:kind = even ",
        "is:kind other ",
        "item_age missing",
    } <= {*columns}
    assert "list:count:click 1h rank" in columns
    assert [each for each in columns if each.startswith("rate")] == ["rate:buy/click:1h 1h "]


def test_weights_that_stand_for_all_have_no_names():
    assert axes("user.key.weight", 2) == ("", "")
    assert axes("heads.level", 0) == ()


def test_names_do_not_change_by_learning(made, workbench):
    bench = workbench()
    before = names(bench.network, bench.dataset)
    Study(bench.network, bench.dataset, bench.texts, None)
    assert names(bench.network, bench.dataset) == before
    assert before["items"] == tuple(f"i{number}" for number in range(toy.ITEMS))
