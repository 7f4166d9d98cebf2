import json
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest
import torch
from rich.progress import Progress
from safetensors.torch import load_file

from tests.training import toy
from training.batches import Batches
from training.errors import ConfigError
from training.evaluate import measure
from training.fit import fit
from training.pipeline import Workbench
from training.predict import predict, represent
from training.run import Run
from training.sections import RATES, TrainingConfig
from training.study import prepare, terms, validate

LEARNS = ("heads.", "user.", "text.projection", "text_heads.", "text.pooling.query.weight")
FOUR = {"training": {"epochs": 4, "patience": 9}}


class Killed(BaseException):
    """What no code of ours catches."""


class Mortal(Run):
    """A run that dies after its second epoch, before or after the checkpoint was written."""

    def log(self, record):
        super().log(record)
        if record["epoch"] == 2 and self.folder.name == "log":
            raise Killed

    def checkpoint(self, state):
        super().checkpoint(state)
        if state["state"]["epoch"] == 2 and self.folder.name == "checkpoint":
            raise Killed


@pytest.fixture
def train(tmp_path, progress: Progress) -> Callable[..., Workbench]:
    """Fit a workbench in a run folder of that name."""

    def fitted(bench: Workbench, name: str = "run", kind: type[Run] = Run) -> Workbench:
        (tmp_path / name).mkdir(exist_ok=True)
        fit(bench.network, bench.dataset, bench.texts, kind(tmp_path / name), progress)
        return bench

    return fitted


@pytest.fixture
def survived(workbench, train) -> Callable[..., Workbench]:
    """Trained as if undisturbed, and killed and resumed: both must be the same; the former is returned."""

    def twice(begun: Workbench | None = None, moment: str = "checkpoint", **sections) -> Workbench:
        undisturbed = train(begun or workbench(**sections), "undisturbed")
        with pytest.raises(Killed):
            train(workbench(**sections), moment, Mortal)
        assert same(train(workbench(**sections), moment), undisturbed)
        return undisturbed

    return twice


def log(tmp_path, name: str = "run") -> list[dict]:
    return [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]


def same(one: Workbench, other: Workbench) -> bool:
    pairs = zip(one.network.state_dict().values(), other.network.state_dict().values(), strict=True)
    return all(torch.equal(ours, theirs) for ours, theirs in pairs)


def test_two_runs_with_the_same_seed_are_the_same_bits_and_another_seed_is_another_run(workbench, train):
    one, two = train(workbench(), "one"), train(workbench(), "two")
    other = train(workbench(training={"seed": 8}), "other")
    assert same(one, two)
    assert not same(one, other)


@pytest.mark.parametrize("moment", ["log", "checkpoint"])
def test_a_run_that_was_killed_goes_on_to_the_weights_of_one_that_was_not(survived, tmp_path, moment):
    survived(moment=moment, **FOUR)
    epochs = {record["epoch"]: record["decides"] for record in log(tmp_path, moment)}
    assert epochs == {record["epoch"]: record["decides"] for record in log(tmp_path, "undisturbed")}


@pytest.mark.parametrize("what", ["rows", "labels", "moments", "texts"])
def test_a_run_whose_tables_have_changed_meanwhile_is_not_resumed(workbench, train, what):
    with pytest.raises(Killed):
        train(workbench(**FOUR), "checkpoint", Mortal)
    bench = workbench(**FOUR)
    if what == "texts":
        bench.dataset.texts[0] += "!"
    else:
        data = bench.dataset
        changed = {"rows": data.rows, "labels": data.labels["click"], "moments": data.requests.times}[what]
        changed[:2] = changed[:2][::-1] if what == "rows" else 1 - changed[:2]
    with pytest.raises(ConfigError, match=r"tables have changed since .*checkpoint was begun.* train anew"):
        train(bench, "checkpoint")


def test_a_finished_run_that_is_resumed_stays_as_it_is(workbench, train, tmp_path):
    first = train(workbench())
    lines = log(tmp_path)
    assert same(first, train(workbench()))
    assert log(tmp_path) == lines


def test_training_stops_when_validation_has_not_improved_for_as_long_as_patience(workbench, train, tmp_path):
    still = {"lr_heads": 1e-12, "epochs": 20, "patience": 3, "metric": "click:auc"}
    train(workbench(training=still))
    assert [record["epoch"] for record in log(tmp_path)] == [1, 2, 3, 4]


def test_the_weights_of_the_best_epoch_are_kept_and_not_those_of_the_last(workbench, train, tmp_path):
    wild = {"epochs": 8, "patience": 8, "lr_heads": 0.05, "metric": "click:auc"}
    overtaken = 0
    for seed in range(3):
        bench = train(workbench(training={**wild, "seed": seed}), f"run {seed}")
        decided = [record["decides"] for record in log(tmp_path, f"run {seed}")]
        overtaken += min(decided) < decided[-1]
        represented = represent(bench.network, bench.dataset, bench.texts)
        found = measure(
            bench.dataset, predict(bench.network, bench.dataset, represented, "validation"), "validation"
        )
        assert -found["click"]["auc"] == pytest.approx(min(decided), abs=1e-6)
    assert overtaken, "in no run an epoch before the last was the best: nothing was tested"


@pytest.mark.parametrize("freeze", ["all", "last:1", "none"])
@pytest.mark.parametrize("pooling", ["mean", "attention"])
def test_the_loss_falls_and_only_what_may_learn_has_moved(workbench, train, tmp_path, freeze, pooling):
    bench = workbench(
        model={"freeze": freeze, "pooling": pooling}, training={"epochs": 3, "lr_encoder": 1e-3}
    )
    before = {name: value.clone() for name, value in bench.network.named_parameters()}
    train(bench)
    records = log(tmp_path)
    assert records[-1]["loss"] < records[0]["loss"]
    for name, value in bench.network.named_parameters():
        if not value.requires_grad:
            assert torch.equal(value, before[name]), name
        elif name.startswith(LEARNS) and name != "heads.slope.time":  # classes have no dot product
            assert not torch.equal(value, before[name]), name
    moved = any(
        name.startswith("text.transformer.encoder") and not torch.equal(value, before[name])
        for name, value in bench.network.named_parameters()
    )
    assert moved == (freeze != "all")


@pytest.mark.parametrize("freeze", ["last:1", "none"])
@pytest.mark.parametrize("adapters", ["lora", "ia3"])
def test_adapters_learn_in_place_of_the_weights_and_a_killed_run_goes_on_the_same(
    workbench, survived, tmp_path, adapters, freeze
):
    sections = {
        "model": {"freeze": freeze, "adapters": adapters, "rank": 2, "pooling": "attention"},
        "training": {"epochs": 4, "patience": 9, "lr_adapters": 1e-2},
    }
    begun = workbench(**sections)
    before = {name: value.clone() for name, value in begun.network.named_parameters()}
    undisturbed = survived(begun, **sections)
    records = log(tmp_path, "undisturbed")
    assert records[-1]["loss"] < records[0]["loss"]
    for name, value in undisturbed.network.named_parameters():
        inner = name.startswith("text.transformer.")
        assert value.requires_grad == (not inner or ".lora_" in name or ".ia3_" in name), name
        if inner:
            assert torch.equal(value, before[name]) != value.requires_grad, name
    saved = load_file(tmp_path / "undisturbed" / "best.safetensors")
    assert {name for name in saved if "transformer" in name} == {
        name
        for name, value in begun.network.named_parameters()
        if value.requires_grad and "transformer" in name
    }


@pytest.mark.parametrize("freeze", ["last:1", "none"])
@pytest.mark.parametrize("adapters", ["none", "lora"])
def test_checkpointing_changes_no_bit_of_a_run(workbench, train, freeze, adapters):
    model = {"freeze": freeze, "adapters": adapters}
    plain = train(workbench(model=model), "plain")
    again = train(workbench(model=model, training={"gradient_checkpointing": True}), "again")
    assert same(plain, again)


@pytest.mark.parametrize("adapters", ["none", "lora", "ia3"])
def test_an_encoder_learns_in_bfloat16_and_is_kept_in_fp32(workbench, train, tmp_path, adapters):
    bench = workbench(
        model={"freeze": "none", "adapters": adapters},
        training={"epochs": 3, "lr_encoder": 1e-3, "precision": "bf16"},
    )
    before = {name: value.clone() for name, value in bench.network.text.named_parameters()}
    train(bench)
    records = log(tmp_path)
    assert records[-1]["loss"] < records[0]["loss"]
    after = dict(bench.network.text.named_parameters())
    assert {value.dtype for value in after.values()} == {torch.float32}
    assert any(not torch.equal(value, before[name]) for name, value in after.items() if "encoder" in name)


def test_every_epoch_is_logged_with_its_loss_and_what_decides(workbench, train, tmp_path):
    bench = train(workbench())
    records = log(tmp_path)
    assert [record["epoch"] for record in records] == [1, 2]
    assert all(
        set(record["validation_loss"]) == {task.name for task in bench.dataset.tasks} for record in records
    )
    assert all(np.isfinite(record["loss"]) and record["seconds"] >= 0 for record in records)


def test_without_a_metric_the_weighted_sum_of_the_losses_decides(workbench):
    bench = workbench()
    losses = prepare(bench.network, bench.dataset)
    value, record = validate(bench.network, bench.dataset, bench.texts, losses)
    assert value == pytest.approx(sum(record["validation_loss"].values()))


def test_a_metric_of_which_more_is_better_decides_by_its_negative(workbench):
    for metric, sign in (("click:auc", -1), ("click:log_loss", 1), ("dwell:rmse", 1)):
        bench = workbench(training={"metric": metric})
        losses = prepare(bench.network, bench.dataset)
        value, record = validate(bench.network, bench.dataset, bench.texts, losses)
        name, kind = metric.split(":")
        assert value == sign * record["validation"][name][kind]


def test_a_task_of_weight_0_moves_nothing(workbench):
    tasks = {
        "click": {"type": "binary", "label": "clicked"},
        "dwell": {"type": "regression", "label": "dwell", "weight": 0.0},
    }
    bench = workbench(tasks=tasks)
    losses = prepare(bench.network, bench.dataset)
    batch = next(Batches(bench.dataset).epoch(8, np.random.default_rng(0)))
    shared = bench.network.shared(batch, bench.texts.pooled(batch.texts))
    assert set(terms(bench.network, losses, batch, shared)) == {"click"}


def test_scales_are_learned_from_the_training_part_alone(workbench):
    bench = workbench()
    known = bench.dataset.labels["dwell"][bench.dataset.select("train")]
    prepare(bench.network, bench.dataset)
    values = np.log1p(known[~np.isnan(known)])
    assert bench.network.readout.affine("dwell")[:2].tolist() == pytest.approx(
        [values.std(), values.mean()], rel=1e-5
    )


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ("click:acuracy", r"click has no 'acuracy'; there are: auc, log_loss"),
        ("dwell", r"dwell has no 'auc'; there are: rmse"),
    ],
)
def test_a_metric_that_the_task_does_not_have_is_named_with_those_that_it_has(
    workbench, train, metric, reason
):
    with pytest.raises(ConfigError, match=f"training.metric: {reason}"):
        train(workbench(training={"metric": metric}))


def test_a_metric_that_validation_cannot_define_stops_the_run_and_says_so(workbench, train):
    bench = workbench(training={"metric": "click:auc"})
    bench.dataset.labels["click"][bench.dataset.select("validation")] = 1.0
    with pytest.raises(ConfigError, match="click:auc is undefined on the validation part"):
        train(bench)


def test_a_run_that_diverges_stops_and_says_so(workbench, train):
    with pytest.raises(ConfigError, match="training diverged"):
        train(workbench(training={"lr_heads": 1e30}))


@pytest.mark.parametrize("balance", get_args(TrainingConfig.model_fields["balance"].annotation))
def test_with_every_balance_the_losses_fall_and_a_killed_run_goes_on_the_same(survived, tmp_path, balance):
    four = {"epochs": 4, "patience": 9, "balance": balance, "lr_encoder": 1e-3}
    undisturbed = survived(training=four, model={"freeze": "last:1"})
    records = log(tmp_path, "undisturbed")
    assert records[-1]["loss"] < records[0]["loss"]
    assert [record["weights"] for record in log(tmp_path, "checkpoint")] == [r["weights"] for r in records]
    for record in records:
        assert set(record["losses"]) == set(record["weights"]) == set(undisturbed.dataset.config.tasks)


@pytest.mark.parametrize(
    ("optimizer", "schedule"),
    [(kind, "cosine") for kind in get_args(TrainingConfig.model_fields["optimizer"].annotation)]
    + [("adamw", "linear"), ("sgd", "constant")],
)
def test_with_every_optimiser_and_schedule_the_losses_fall_and_a_killed_run_goes_on_the_same(
    workbench, survived, tmp_path, optimizer, schedule
):
    rates = {**RATES.get(optimizer, {}), "lr_encoder": {"sgd": 0.01, "adafactor": 0.02}.get(optimizer, 1e-3)}
    chosen = {"epochs": 4, "patience": 9, "optimizer": optimizer, "schedule": schedule, **rates}
    sections = {"training": {"lr_heads": 3e-3, **chosen}, "model": {"freeze": "last:1"}}
    begun = workbench(**sections)
    before = {name: value.clone() for name, value in begun.network.named_parameters()}
    undisturbed = survived(begun, **sections)
    records = log(tmp_path, "undisturbed")
    assert records[-1]["loss"] < records[0]["loss"]
    for name, value in undisturbed.network.named_parameters():
        assert torch.equal(value, before[name]) != value.requires_grad or name == "heads.slope.time", name


@pytest.mark.parametrize("loss", ["contrastive", "triplet", "cosine"])
@pytest.mark.parametrize("balance", ["fixed", "famo", "upgrad"])
def test_the_objective_of_retrieval_is_weighed_as_a_task_and_learned(
    workbench, train, tmp_path, loss, balance
):
    sections = {"training": {"balance": balance, "epochs": 6}, "retrieval": {"task": "click", "loss": loss}}
    bench = train(workbench(**sections))
    records = log(tmp_path)
    assert records[-1]["losses"]["retrieval"] < records[0]["losses"]["retrieval"]
    assert "retrieval" in records[0]["weights"]
    assert bench.network.fetched == tuple(bench.network.search.slopes.tolist())


def test_grades_are_learned_with_their_cuts_and_served_between_the_ends(workbench, train, tmp_path):
    grades = sorted({float(row["dwell"]) for row in toy.log() if row["dwell"]})
    tasks = {"dwell": {"type": "regression", "label": "dwell", "loss": "ordinal", "grades": grades}}
    bench = workbench(tasks=tasks, training={"epochs": 5, "balance": "upgrad"})
    prepare(bench.network, bench.dataset)
    before = bench.network.readout.cuts("dwell").clone()
    train(bench)
    losses = [record["losses"]["dwell"] for record in log(tmp_path)]
    assert losses[-1] < losses[0]
    assert not torch.equal(bench.network.readout.cuts("dwell"), before)
    represented = represent(bench.network, bench.dataset, bench.texts)
    values = predict(bench.network, bench.dataset, represented, "test").values["dwell"]
    assert grades[0] <= values.min() < values.max() <= grades[-1]
