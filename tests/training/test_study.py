"""Two tables that train one text encoder: a log of clicks, and one of searches."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from training import pipeline
from training.batches import Batches
from training.fit import shares, together, turns
from training.run import Run
from training.study import Study

CLICKS = {"click": {"type": "binary", "label": "clicked", "main": True}}
SEARCH = {"match": {"type": "binary", "inputs": "query_item", "label": "match", "main": True}}
DEEP = {"freeze": "last:1"}


class Killed(BaseException):
    """What no code of ours catches."""


class Mortal(Run):
    """A run that dies after its first epoch."""

    def checkpoint(self, state):
        super().checkpoint(state)
        raise Killed


@pytest.fixture
def tables(workbench, progress, tmp_path):
    """Workbenches of both with one text encoder."""

    def made(batch=4, **training):
        pair = [
            workbench(tasks=CLICKS, model=DEEP, training=training),
            workbench(seed=1, tasks=SEARCH, model=DEEP, training={"batch": batch, **training}),
        ]
        return pipeline.shared(pair, tmp_path / "cache", progress)

    return made


@pytest.fixture
def studied(tables, tmp_path):
    """Studies of both, each with a run folder."""

    def made(name="run", **training):
        runs = [Run(tmp_path / name / which) for which in ("clicks", "search")]
        for run in runs:
            run.folder.mkdir(parents=True, exist_ok=True)
        return [
            Study(bench.network, bench.dataset, bench.texts, run)
            for bench, run in zip(tables(**training), runs, strict=True)
        ]

    return made


def test_both_learn_and_their_encoders_stay_one(studied, progress, tmp_path):
    studies = studied(epochs=6, patience=6, lr_encoder=1e-4)
    before = {name: value.clone() for name, value in studies[0].network.text.named_parameters()}
    together(studies, progress)
    kept = [load_file(study.run.folder / "best.safetensors") for study in studies]
    text = [{name: value for name, value in each.items() if name.startswith("text.")} for each in kept]
    assert text[0].keys() == text[1].keys()
    assert all(torch.equal(text[0][name], text[1][name]) for name in text[0])
    assert any(not torch.equal(value, before[name.removeprefix("text.")]) for name, value in text[0].items())
    for study in studies:
        lines = (study.run.folder / "log.jsonl").read_text().splitlines()
        losses = [json.loads(line)["loss"] for line in lines]
        assert losses[-1] < losses[0]


def test_a_run_that_is_resumed_ends_with_the_weights_of_one_that_was_not(studied, progress):
    whole = studied("whole", epochs=2, patience=3)
    together(whole, progress)
    half = studied("half", epochs=2, patience=3)
    half[0].run = Mortal(half[0].run.folder)
    with pytest.raises(Killed):
        together(half, progress)
    again = studied("half", epochs=2, patience=3)
    together(again, progress)
    for ours, theirs in zip(again, whole, strict=True):
        pairs = zip(ours.network.state_dict().values(), theirs.network.state_dict().values(), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)


def test_an_epoch_is_one_pass_over_each_table_and_more_of_the_small_one_when_it_is_hot(studied):
    plain, hot = studied(batch=8), studied("hot", batch=8, temperature=4.0)
    assert shares(plain) == [study.steps for study in plain]
    assert sum(shares(hot)) == pytest.approx(sum(shares(plain)), abs=1)
    assert plain[0].steps > plain[1].steps
    assert shares(hot)[1] > shares(plain)[1]


def test_turns_are_drawn_and_a_table_that_is_through_begins_anew(studied):
    studies = studied()
    order = [study is studies[1] for study, _ in turns(studies, [3, 20], np.random.default_rng(0))]
    assert (len(order), sum(order)) == (23, 20)
    assert studies[1].steps < 20
    assert order != sorted(order)
    alone = [batch.texts for _, batch in turns(studies[:1], [2], np.random.default_rng(0))]
    first = Batches(studies[0].dataset).epoch(8, np.random.default_rng(0))
    assert all(torch.equal(ours, next(first).texts) for ours in alone)
