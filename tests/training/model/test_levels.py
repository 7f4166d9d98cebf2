import pytest
import torch

from model_store.manifest import Task
from tests.training import toy
from training.model.towers import Towers

H, TASKS = 8, tuple(Task(name=name, type="binary") for name in ("click", "buy", "like"))
ALL = [task.name for task in TASKS]


def towers(tasks=TASKS, **model) -> Towers:
    """Towers of which every layer speaks, above two experts of all and one of each task."""
    torch.manual_seed(0)
    wanted = {"sharing": "ple", "experts": 2, "levels": 2, **model}
    mix = Towers(tasks, toy.settings(model=wanted).model).eval()
    for parameter in mix.parameters():
        torch.nn.init.normal_(parameter)
    return mix


def said(mix: Towers, first: torch.Tensor) -> dict[str, torch.Tensor]:
    return {name: mix(mix.rows(first)[-1], name) for name in mix.names}


def moved(mix: Towers, layer: torch.nn.Module, first: torch.Tensor) -> set[str]:
    """Tasks that say something else when a layer does."""
    before = said(mix, first)
    layer.bias.add_(1.0)
    after = said(mix, first)
    return {name for name in before if not torch.equal(before[name], after[name])}


@torch.no_grad()
@pytest.mark.parametrize(("own", "experts"), [(1, 5), (2, 8)])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_each_level_has_the_columns_of_the_first_layer_and_the_last_no_shared_gate(levels, own, experts):
    mix = towers(own_experts=own, levels=levels)
    last = experts * H + 3 * (2 + own)
    widths = [row.shape for row in mix.rows(torch.randn(4, 7, mix.width))]
    assert widths == [(4, 7, last + experts)] * (levels - 1) + [(4, 7, last)]


@torch.no_grad()
def test_one_level_is_what_it_was():
    mix = towers(levels=1)
    assert {name.split(".")[0] for name in mix.state_dict()} == {"towers"}
    assert mix.width == 5 * H + 3 * 3
    first = torch.randn(7, mix.width)
    assert mix.rows(first)[-1] is first


@torch.no_grad()
def test_gates_sum_to_one():
    """Of experts that all say the same, any mixture says it too."""
    mix = towers()
    expert, gates = torch.randn(7, H), 3.0 * torch.randn(7, 3 * 3 + 5)
    given = mix.levels[0].inputs(torch.cat([expert] * 5 + [gates], dim=1))
    torch.testing.assert_close(given, torch.relu(expert).unsqueeze(1).expand(7, 4, H))


@torch.no_grad()
def test_two_levels_are_the_papers_formula():
    """PLE: a task's gate mixes shared and own experts, the shared gate all, and each reads what it was given."""
    mix = towers()
    level, first = mix.levels[0], torch.randn(7, mix.width)
    experts = torch.relu(first[:, : 5 * H]).unflatten(1, (5, H)).unbind(1)

    def mixture(logits, experts):
        shares = torch.softmax(logits, dim=1).unbind(1)
        return sum(share.unsqueeze(1) * expert for share, expert in zip(shares, experts, strict=True))

    shared = level.shared(mixture(first[:, 5 * H + 9 :], experts))
    shared = torch.relu(shared).unflatten(1, (2, H)).unbind(1)
    for place, name in enumerate(ALL):
        begin = 5 * H + 3 * place
        given = mixture(first[:, begin : begin + 3], [*experts[:2], experts[2 + place]])
        own, gate = level.own[name](given).split([H, 3], dim=1)
        expected = mix.towers[name](mixture(gate, [*shared, torch.relu(own)]))
        torch.testing.assert_close(said(mix, first)[name], expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_what_is_a_tasks_own_speaks_to_others_by_what_is_shared_of_the_next_level_alone():
    first = torch.randn(50, towers(levels=3).width)
    for name in ALL:
        mix = towers(levels=3)
        below, last = mix.levels
        assert moved(mix, last.own[name], first) == {name}
        assert moved(mix, below.own[name], first) == set(ALL)
        for parameter in last.shared.parameters():
            parameter.zero_()
        assert moved(mix, below.own[name], first) == {name}
        assert moved(mix, last.shared, first) == set(ALL)


@torch.no_grad()
def test_a_task_alone_has_levels_too():
    mix = towers(TASKS[:1], levels=3)
    assert said(mix, torch.randn(7, mix.width))["click"].shape == (7, 1)
    assert not towers((), levels=3).levels, "a task that reads a text alone, alone"


def test_every_parameter_of_every_level_learns():
    mix = towers(levels=3)
    sum(value.sum() for value in said(mix, torch.randn(50, mix.width)).values()).backward()
    assert all(parameter.grad.any() for parameter in mix.parameters())
