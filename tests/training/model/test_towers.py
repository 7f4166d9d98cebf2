import pytest
import torch

from model_store.manifest import Task
from tests.training import toy
from training.model.towers import Towers

TASKS = tuple(Task(name=name, type="binary") for name in ("click", "buy", "like"))
ALL = [task.name for task in TASKS]


def towers(**model) -> Towers:
    """Towers of which every layer speaks."""
    torch.manual_seed(0)
    mix = Towers(TASKS, toy.settings(model={"experts": 3, **model}).model).eval()
    for tower in mix.towers.values():
        torch.nn.init.normal_(tower[-1].weight)
    return mix


@torch.no_grad()
def test_gates_sum_to_one():
    """Of experts that all say the same, any mixture says it too."""
    mix = towers(sharing="mmoe")
    expert, gates = torch.randn(7, 8), 3.0 * torch.randn(7, 3 * len(TASKS))
    for task in TASKS:
        mixed = mix(torch.cat([expert, expert, expert, gates], dim=1), task.name)
        torch.testing.assert_close(mixed, mix.towers[task.name](torch.relu(expert)))


@torch.no_grad()
def test_a_task_listens_to_its_own_gate_only():
    mix = towers(sharing="mmoe")
    first = torch.randn(7, mix.width)
    for place, task in enumerate(TASKS):
        other = first.clone()
        other[:, 3 * 8 + 3 * place] += 2.0
        changed = {one.name for one in TASKS if not torch.equal(mix(first, one.name), mix(other, one.name))}
        assert changed == {task.name}


@torch.no_grad()
@pytest.mark.parametrize(("model", "shared", "own"), [
    ({"sharing": "alone"}, 0, 1), ({"sharing": "ple", "experts": 2}, 2, 1),
    ({"sharing": "ple", "experts": 1, "own_experts": 2}, 1, 2), ({"sharing": "mmoe"}, 3, 0),
])  # fmt: skip
def test_an_expert_of_one_task_is_not_seen_by_the_others(model, shared, own):
    mix = towers(**model)
    assert mix.experts == shared + own * len(TASKS)
    first = torch.randn(7, mix.width)
    for expert in range(mix.experts):
        other = first.clone()
        other[:, 8 * expert : 8 * (expert + 1)] += 2.0
        changed = {name for name in ALL if not torch.equal(mix(first, name), mix(other, name))}
        assert changed == ({ALL[(expert - shared) // own]} if expert >= shared else set(ALL))


@torch.no_grad()
def test_a_mixture_of_ple_is_the_papers_formula():
    """CGC: the softmax of the gate weighs the shared experts and the task's own, side by side."""
    mix = towers(sharing="ple", experts=2, own_experts=1)
    first = torch.randn(7, mix.width)
    experts = torch.relu(first[:, : 8 * mix.experts]).unflatten(1, (-1, 8))
    for place, name in enumerate(ALL):
        begin = 8 * mix.experts + 3 * place
        gate = torch.softmax(first[:, begin : begin + 3], dim=1)
        seen = [experts[:, 0], experts[:, 1], experts[:, 2 + place]]
        mixed = sum(gate[:, [number]] * expert for number, expert in enumerate(seen))
        torch.testing.assert_close(mix(first, name), mix.towers[name](mixed))
