import numpy as np
import pytest
import torch

from model_store.manifest import Task
from tests.training import toy
from training.export.blocks import Blocks, array, bias, layers, weight
from training.model.heads import PairHeads

D, F = 8, 5
CLICK = Task(name="click", type="binary")
TIME = Task(name="time", type="multiclass", inputs="user_item", classes=("day", "night"))
MATCH = Task(name="match", type="binary", inputs="query_item")
TASKS = (CLICK, TIME, MATCH)


@pytest.fixture
def heads():
    torch.manual_seed(0)
    made = PairHeads(TASKS, toy.settings(model={"experts": 3}).model, F).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_()
    return made


def softmax(values):
    raised = np.exp(values)
    return raised / raised.sum()


def test_the_experts_are_the_first_columns_as_trained(heads):
    blocks = Blocks(heads, TASKS)
    assert np.array_equal(blocks.experts(weight(heads.context)), array(heads.context.weight).T[:, : 3 * 8])


def test_gates_over_the_first_ones_open_as_wide_as_all_of_them(heads):
    blocks, inputs = Blocks(heads, (MATCH, CLICK, TIME)), np.random.default_rng(0).normal(size=F)
    rest = inputs @ blocks.rest(weight(heads.context), ("pair", "user_item", "query_item"))
    whole = inputs @ weight(heads.context)
    for place, name in ((0, "match"), (1, "click"), (2, "time")):
        begin = 3 * 8 + 3 * heads.mix.names.index(name)
        over = np.append(0.0, rest[2 * place : 2 * place + 2])
        assert softmax(over) == pytest.approx(softmax(whole[begin : begin + 3]))


def test_dots_stand_behind_the_gates_of_tasks_that_have_them(heads):
    blocks = Blocks(heads, TASKS)
    assert [task.name for task in blocks.dotted] == ["click", "match"]
    rest = blocks.rest(weight(heads.user_item), ("pair", "user_item"), side=0)
    assert rest.shape == (D, 3 * 2 + 2)
    assert rest[:, 6] == pytest.approx(np.full(D, array(heads.slope["click"])[0]))
    assert not rest[:, 7].any(), "a task that does not see the user"


def test_what_a_kind_does_not_see_weighs_nothing(heads):
    rest = Blocks(heads, TASKS).rest(weight(heads.context), ("pair",))
    assert rest[:, :2].any()
    assert not rest[:, 2:].any()


def test_nobody_and_no_query_are_constants_of_the_kinds_that_miss_them(heads):
    blocks = Blocks(heads, TASKS)
    row, no_user, no_query = (
        array(part)[None] for part in (heads.context.bias, heads.no_user, heads.no_query)
    )
    for kind, asked, expected in (
        ("pair", True, row), ("pair", False, row + no_query),
        ("user_item", True, row + no_query), ("user_item", False, row + no_query),
        ("query_item", True, no_user), ("query_item", False, no_user + no_query),
    ):  # fmt: skip
        found = blocks.absent + (kind != "query_item") * blocks.with_user
        found = found + (asked and kind != "user_item") * blocks.with_query
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_experts_that_nothing_gates_have_no_gates():
    heads = PairHeads(TASKS, toy.settings(model={"sharing": "shared_bottom"}).model, F)
    blocks = Blocks(heads, TASKS)
    assert blocks.gates == 0
    assert blocks.rest(weight(heads.context), ("pair",)).shape == (F, 2)


def test_where_there_are_levels_each_kind_has_its_own_gates_and_the_dots_are_the_rest():
    heads = PairHeads(TASKS, toy.settings(model={"sharing": "ple", "levels": 2}).model, F)
    blocks = Blocks(heads, TASKS)
    assert blocks.experts(weight(heads.context)).shape == (F, heads.mix.width)
    assert blocks.rest(weight(heads.user_item), ("pair", "user_item"), side=0).shape == (D, 2)


def test_a_tower_has_two_layers(heads):
    first, last = layers(heads.mix.towers["time"])
    assert (first.out_features, last.out_features) == (32, 2)
    assert bias(last).shape == (2,)
