import numpy as np
import pytest
import torch

from training.gates import usage
from training.predict import represent


def used(bench):
    represented = represent(bench.network, bench.dataset, bench.texts)
    return usage(bench.network, bench.dataset, represented, "validation")


@pytest.mark.parametrize(("model", "seen"), [
    ({"sharing": "mmoe", "experts": 3}, {"click": [0, 1, 2], "match": [0, 1, 2]}),
    ({"sharing": "ple", "experts": 2}, {"click": [0, 1, 2], "match": [0, 1, 4]}),  # click, dwell, match, time
])  # fmt: skip
def test_shares_are_of_the_experts_that_a_task_sees_and_sum_to_one(workbench, model, seen):
    bench = workbench(model=model)
    found = used(bench)
    assert set(found) == {task.name for task in bench.dataset.tasks if task.online}
    for name, expected in seen.items():
        shares = np.array(found[name]["experts"])
        assert np.flatnonzero(shares).tolist() == expected
        assert shares.sum() == pytest.approx(1.0, abs=1e-5)
        assert 0.0 < found[name]["entropy"] <= 1.0


def test_each_level_is_told_by_itself(workbench):
    bench = workbench(model={"sharing": "ple", "experts": 2, "levels": 2})
    found = used(bench)
    names = [task.name for task in bench.dataset.tasks if task.online]
    assert list(found) == [f"{name}, level {level}" for name in names for level in (1, 2)]
    for level in (1, 2):
        shares = np.array(found[f"match, level {level}"]["experts"])
        assert np.flatnonzero(shares).tolist() == [0, 1, 4]
        assert shares.sum() == pytest.approx(1.0, abs=1e-5)
    assert found["match, level 1"] != found["match, level 2"]


def test_a_gate_that_has_settled_has_no_entropy(workbench):
    bench = workbench(model={"sharing": "mmoe", "experts": 3})
    mix = bench.network.heads.mix
    begin = mix.experts * mix.hidden + mix.choices * mix.names.index("click")
    with torch.no_grad():
        bench.network.heads.context.bias[begin + 1] += 100.0
    found = used(bench)["click"]
    assert found["experts"] == [0.0, 1.0, 0.0]
    assert found["entropy"] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("sharing", ["alone", "shared_bottom"])
def test_where_nothing_is_gated_there_is_nothing_to_tell(workbench, sharing):
    assert used(workbench(model={"sharing": sharing})) == {}
