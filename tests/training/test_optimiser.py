import math

import pytest
import torch
from torch.optim import SGD, Adafactor, Adam, AdamW, RMSprop

from tests.training import toy
from tests.training.test_study import CLICKS, DEEP, SEARCH
from training import pipeline
from training.optimiser import KINDS, course, made
from training.run import Run
from training.study import Study

STEPS = 25  # an epoch; four of them, of which the first ten are the warm-up


def shares(schedule):
    config = toy.settings(training={"epochs": 4, "warmup": 0.1, "schedule": schedule}).training
    return [course(config, STEPS)(step) for step in range(4 * STEPS + 1)]


@pytest.fixture
def studies(workbench, progress, tmp_path):
    """Studies of two tables that share an encoder, by one optimiser, each with rates of its own."""

    def begun(**training):
        ours = {"lr_heads": 1e-3, "lr_encoder": 1e-5, **training}
        pair = [
            workbench(tasks=CLICKS, model=DEEP, training=ours),
            workbench(
                seed=1, tasks=SEARCH, model=DEEP, training={**ours, "lr_heads": 2e-3, "lr_encoder": 9e-5}
            ),
        ]
        found = pipeline.shared(pair, tmp_path / "cache", progress)
        return [Study(each.network, each.dataset, each.texts, Run(tmp_path)) for each in found]

    return begun


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_rates_warm_up_straight_to_the_whole_rate(schedule):
    assert shares(schedule)[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert max(shares(schedule)) == 1.0


def test_after_the_warm_up_rates_fall_straight_or_along_a_cosine_to_nothing_or_stay():
    left = [(100 - step) / 90 for step in range(10, 101)]
    assert shares("linear")[10:] == pytest.approx(left)
    expected = [0.5 * (1 + math.cos(math.pi * (1 - each))) for each in left]  # SGDR, one period
    assert shares("cosine")[10:] == pytest.approx(expected)
    assert shares("constant")[10:] == [1.0] * 91
    assert shares("linear")[-1] == shares("cosine")[-1] == 0.0


def test_without_a_warm_up_the_first_step_has_the_whole_rate():
    config = toy.settings(training={"epochs": 1, "warmup": 0.0, "schedule": "cosine"}).training
    assert course(config, STEPS)(0) == 1.0
    assert course(config, 0)(0) == 1.0  # of no steps, which are one


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adamw", AdamW), ("adam", Adam), ("rmsprop", RMSprop), ("sgd", SGD), ("adafactor", Adafactor)],
)
def test_the_optimiser_is_torchs_own_of_that_name(studies, name, kind):
    optimiser, _ = made(studies(optimizer=name), STEPS)
    assert type(optimiser) is kind


@pytest.mark.parametrize("name", ["adamw", "sgd", "adafactor"])
def test_every_parameter_of_all_tables_is_in_one_group_at_the_rate_of_its_table(studies, name):
    pair = studies(optimizer=name, weight_decay=0.01)
    optimiser, schedule = made(pair, STEPS)
    assert schedule.get_last_lr() != [group["initial_lr"] for group in optimiser.param_groups]  # it warms up
    given = {id(each): group for group in optimiser.param_groups for each in group["params"]}
    assert sum(len(group["params"]) for group in optimiser.param_groups) == len(given)
    learned = {}
    for study, rate in zip(reversed(pair), (2e-3, 1e-3), strict=True):  # what is shared is the first one's
        for key, parameter in study.network.named_parameters():
            if parameter.requires_grad:
                lr = 1e-5 if key.startswith("text.transformer.") else rate
                learned[id(parameter)] = (lr, 0.01 if parameter.ndim > 1 else 0.0)
    assert {key: (group["initial_lr"], group["weight_decay"]) for key, group in given.items()} == learned


def test_momentum_is_nine_tenths():
    value = torch.nn.Parameter(torch.zeros(1))
    optimiser = KINDS["sgd"]([{"params": [value], "lr": 0.1}])
    for _ in range(2):
        value.grad = torch.ones(1)
        optimiser.step()
    assert value.item() == pytest.approx(-0.1 * (1 + 1.9))


def test_adapters_have_a_rate_of_their_own(workbench, tmp_path):
    rates = {"lr_heads": 1e-3, "lr_encoder": 1e-5, "lr_adapters": 7e-3}
    for adapters, inner in (("none", 1e-5), ("lora", 7e-3)):
        each = workbench(model={**DEEP, "adapters": adapters}, training=rates)
        optimiser, _ = made([Study(each.network, each.dataset, each.texts, Run(tmp_path))], STEPS)
        assert {group["initial_lr"] for group in optimiser.param_groups} == {1e-3, inner}
