"""What is served after validation was learned from too."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.training.test_study import CLICKS, DEEP, SEARCH
from training import pipeline
from training.cost import cost
from training.refit import calibrated, joined
from training.run import Run

LOTS = {"epochs": 3, "patience": 9, "metric": "click:auc", "refit": True}


class Killed(BaseException):
    """What no code of ours catches."""


class Mortal(Run):
    """A run whose refit dies after its first epoch."""

    @property
    def again(self):
        return Dying(self.folder / "refit")


class Dying(Run):
    """Dies after an epoch."""

    def checkpoint(self, state):
        super().checkpoint(state)
        raise Killed


@pytest.fixture
def train(workbench, progress, tmp_path):
    """Run the training stage of the pipeline in a folder of that name."""

    def trained(name="run", kind=Run, **training):
        bench = workbench(training={**LOTS, **training})
        run = kind(tmp_path / name)
        run.folder.mkdir(exist_ok=True)
        pipeline.train(bench, run, progress)
        return bench, run

    return trained


def test_validation_joins_training_and_nothing_else_moves(workbench):
    dataset = workbench().dataset
    whole = joined(dataset)
    assert not len(whole.requests.of("validation"))
    both = np.union1d(dataset.requests.of("train"), dataset.requests.of("validation"))
    assert (whole.requests.of("train") == both).all()
    assert (whole.requests.of("test") == dataset.requests.of("test")).all()
    for name, labels in dataset.alone.items():
        assert (whole.alone[name].splits == np.where(labels.splits == 1, 0, labels.splits)).all()


def test_a_refit_learns_as_long_as_validation_chose_with_its_labels_and_is_what_is_served(train, workbench):
    once, before = train("once", refit=False)
    bench, run = train()
    best = json.loads((run.folder / "state.json").read_text())["best_epoch"]
    assert json.loads((before.folder / "state.json").read_text())["best_epoch"] == best
    assert [record["epoch"] for record in run.again.epochs] == list(range(1, best + 1))
    assert cost(run, bench.network)["epochs"] == len(run.epochs) + best
    first, second = once.network.state_dict(), bench.network.state_dict()
    assert not torch.equal(first["heads.item.weight"], second["heads.item.weight"])
    assert torch.equal(first["readout.affine_click"], second["readout.affine_click"])  # calibrated as chosen
    chosen, served = (load_file(each.folder / "best.safetensors") for each in (run, run.again))
    assert torch.equal(chosen["heads.item.weight"], first["heads.item.weight"])
    assert all(torch.equal(served[name], second[name]) for name in served)


def test_validation_labels_change_the_refit_and_test_labels_do_not(workbench, progress, tmp_path):
    weights = {}
    for part in ("none", "validation", "test"):
        bench = workbench(training={**LOTS, "epochs": 1})
        if part != "none":
            rows = bench.dataset.select(part)
            bench.dataset.labels["click"][rows] = 1.0 - bench.dataset.labels["click"][rows]
        run = Run(tmp_path / part)
        run.folder.mkdir()
        pipeline.train(bench, run, progress)
        weights[part] = bench.network.state_dict()["heads.item.weight"]
    assert torch.equal(weights["none"], weights["test"])
    assert not torch.equal(weights["none"], weights["validation"])


def test_a_refit_that_was_killed_goes_on_to_the_weights_of_one_that_was_not(train, tmp_path):
    whole, _ = train("whole")
    with pytest.raises(Killed):
        train("cut", Mortal)
    assert not (
        tmp_path / "cut" / "state.json"
    ).is_file()  # by which a later run knows that there is all of it
    resumed, _ = train("cut")
    pairs = zip(whole.network.state_dict().values(), resumed.network.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_tables_that_share_an_encoder_share_one_after_a_refit_too(workbench, progress, tmp_path):
    lots = {"epochs": 1, "refit": True}
    pair = [
        workbench(tasks=CLICKS, model=DEEP, training=lots),
        workbench(seed=1, tasks=SEARCH, model=DEEP, training=lots),
    ]
    runs = [Run(tmp_path / name) for name in ("clicks", "search")]
    for run in runs:
        run.folder.mkdir()
    pipeline.train_all(pipeline.shared(pair, tmp_path / "cache", progress), runs, progress)
    kept = [load_file(run.again.folder / "best.safetensors") for run in runs]
    text = [{name: value for name, value in each.items() if name.startswith("text.")} for each in kept]
    assert text[0].keys() == text[1].keys()
    assert all(torch.equal(text[0][name], text[1][name]) for name in text[0])
    chosen = load_file(runs[0].folder / "best.safetensors")
    assert any(not torch.equal(value, chosen[name]) for name, value in text[0].items())


def test_calibration_is_taken_over_and_ends_of_a_number_are_not(workbench):
    ours, theirs = workbench().network.readout, workbench().network.readout
    ours.bound("dwell", 1.0, 9.0)
    theirs.set("dwell", 2.0, 3.0)
    theirs.bound("dwell", 0.0, 5.0)
    calibrated(ours, theirs, ["dwell"])
    assert ours.affine("dwell").tolist() == [2.0, 3.0, 1.0, 9.0]
