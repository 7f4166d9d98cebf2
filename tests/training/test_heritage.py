"""What an earlier run knew is known by the next one, whatever has come and gone in between."""

import json

import numpy as np
import polars as pl
import pytest
import tomlkit
import torch

from tests.training import toy
from training import build, pipeline
from training.datasets.tables import Tables
from training.errors import ConfigError
from training.heritage import Heritage, bequest
from training.predict import predict, represent
from training.run import Run
from training.study import Study

TASKS = toy.record()["tasks"]
RARE = {
    "read": {"type": "quantile", "label": "dwell", "quantiles": [0.1, 0.5, 0.9]},
    "wants": {"type": "multilabel", "inputs": "user", "label": "kind", "given": "click"},
}
MORE = {"wish": {"type": "binary", "label": "clicked"}, **TASKS}
MODELS = [
    {"sharing": "shared_bottom"},
    {"sharing": "mmoe", "factors": 3},
    {"sharing": "ple"},
    {"item_ids": True},
    {"freeze": "last:1", "adapters": "lora"},
]


def handed(bench, folder, tasks=TASKS) -> Heritage:
    """What this network would hand over, were it trained."""
    run = Run(folder)
    folder.mkdir()
    with torch.no_grad():  # of a network that begins, a good part is zero
        for name, weight in bench.network.named_parameters():
            if weight.requires_grad:
                weight.add_(torch.randn(weight.shape, generator=torch.manual_seed(len(name))) * 0.1)
    Study(bench.network, bench.dataset, bench.texts, run)
    run.write("names.json", json.loads(json.dumps(bequest(bench.network, bench.dataset))))
    bench.network.readout.set("click", 0.5, 0.25)
    bench.network.readout.set("dwell", 0.3, 2.0)
    run.keep(bench.network)
    config = bench.dataset.config
    record = toy.record(model=config.model.model_dump(), tasks=tasks)
    (folder / "config.toml").write_text(tomlkit.dumps(record))
    return Heritage({name: folder / name for name in ("config.toml", "names.json", "best.safetensors")})


def later(bench, cache, progress, tasks=TASKS):
    """The same log, but that the catalogue has two things more and another order, and there are other tasks."""
    settings = bench.dataset.config
    record = settings.model_copy(
        update={"tasks": {name: toy.settings(tasks=tasks).tasks[name] for name in tasks}}
    )
    found = toy.tables([{**row, "wish": row["click"]} for row in toy.log()], record, toy.USERS)
    items = toy.items(toy.ITEMS + 2).with_columns(
        pl.when(pl.col("item") == "i13").then(pl.lit("third")).otherwise("label:kind").alias("label:kind")
    )
    users = found.users.with_columns(pl.col("profile").alias("field:profile"))
    dataset = build.build(record, Tables(items.reverse(), found.events, users, found.report))
    return pipeline.bench(dataset, cache, progress, [])


def said(bench, split="validation"):
    represented = represent(bench.network, bench.dataset, bench.texts)
    return predict(bench.network, bench.dataset, represented, split)


@pytest.fixture
def plain(workbench):
    """A workbench without profiles, whose columns another table would number anew."""
    return lambda **sections: workbench(tasks=TASKS, **sections)


@pytest.mark.parametrize("model", MODELS)
def test_on_the_same_tables_a_network_is_the_earlier_one(plain, tmp_path, model):
    old, new = plain(model=model), plain(model=model)
    heritage = handed(old, tmp_path / "old")
    heritage.hand(new.network, new.dataset, served=True)
    for name, value in new.network.state_dict().items():
        torch.testing.assert_close(value, old.network.state_dict()[name], rtol=0, atol=0, msg=name)
    assert heritage.anew(new.network, new.dataset) == "nothing"


@pytest.mark.parametrize("model", MODELS)
def test_what_came_and_what_moved_changes_no_answer_about_the_rest(plain, tmp_path, progress, model):
    old = plain(model=model)
    heritage = handed(old, tmp_path / "old")
    new = later(old, tmp_path / "cache", progress, MORE)
    heritage.hand(new.network, new.dataset, served=True)
    ours, theirs = said(new), said(old)
    for name in ("click", "dwell", "match", "time"):
        np.testing.assert_allclose(ours.values[name], theirs.values[name], rtol=2e-4, atol=2e-5, err_msg=name)
    told = heritage.anew(new.network, new.dataset)
    assert told == "classes of wish, 2 of 14 items, 1 of 3 classes of kind"


@pytest.mark.parametrize("before", [{}, {"retrieval": {"task": "click"}}])
@pytest.mark.parametrize("after", [{}, {"retrieval": {"task": "click"}}])
def test_quantiles_interests_and_an_objective_of_retrieval_that_comes_or_goes_change_no_answer(
    workbench, tmp_path, progress, before, after
):
    tasks = {**TASKS, **RARE}
    model = {"encoder": workbench().dataset.config.model.encoder}
    rows = [{**row, "read": row["dwell"]} for row in toy.log()]
    old, new = (
        pipeline.bench(
            toy.build(rows, toy.settings(tasks=tasks, model=model, **sections), toy.USERS),
            tmp_path / "cache", progress, [],
        )
        for sections in (before, after)
    )  # fmt: skip
    handed(old, tmp_path / "old", tasks).hand(new.network, new.dataset, served=True)
    ours, theirs = said(new), said(old)
    assert ours.values.keys() == theirs.values.keys() == tasks.keys()
    for name, values in theirs.values.items():
        np.testing.assert_array_equal(ours.values[name], values, err_msg=name)


def test_a_number_goes_on_in_the_units_in_which_it_was_learned_and_in_the_range_of_both(plain, tmp_path):
    old, new = plain(), plain()
    heritage = handed(old, tmp_path / "old")
    scale, shift = json.loads((tmp_path / "old" / "names.json").read_text())["units"]["dwell"]
    heritage.weights["readout.affine_dwell"][2:] = torch.tensor([-5.0, 50.0])
    Study(new.network, new.dataset, new.texts, Run(tmp_path))
    own = new.network.readout.affine("dwell").clone()
    new.network.readout.set("dwell", 9.0, 9.0)
    heritage.hand(new.network, new.dataset)
    found = new.network.readout.affine("dwell").tolist()
    assert found[:2] == pytest.approx([scale, shift])
    assert found[2:] == [-5.0, max(50.0, own[3].item())]
    assert new.network.readout.affine("click")[:2].tolist() == [1.0, 0.0]  # calibrated anew at the end


def test_what_has_grades_keeps_the_range_of_both_runs_too(workbench, tmp_path):
    grades = [float(grade) for grade in range(1, 90)]
    task = {"type": "regression", "label": "dwell", "loss": "ordinal", "grades": grades, "main": True}
    old, new = (workbench(tasks={"dwell": task}) for _ in range(2))
    seen = old.dataset.labels["dwell"]
    new.dataset.labels["dwell"][seen < 40] = np.nan  # in a week without the low ones
    run = Run(tmp_path / "old")
    run.folder.mkdir()
    Study(old.network, old.dataset, old.texts, run)
    run.write("names.json", bequest(old.network, old.dataset))
    run.keep(old.network)
    Study(new.network, new.dataset, new.texts, run)
    assert new.network.readout.affine("dwell")[2] >= 40
    Heritage(files(run)).hand(new.network, new.dataset)
    assert (
        new.network.readout.affine("dwell")[2:].tolist() == old.network.readout.affine("dwell")[2:].tolist()
    )


def test_networks_that_differ_are_refused_by_the_key(plain, tmp_path):
    heritage = handed(plain(), tmp_path / "old")
    model = heritage.config.model.model_dump()
    with pytest.raises(ConfigError, match=r"model.hidden is 32, and 8 in the run .* `chorus-train run`"):
        heritage.check(toy.settings(model={**model, "hidden": 32}))
    other = {**TASKS, "click": {**TASKS["click"], "loss": "focal"}}
    with pytest.raises(ConfigError, match=r"tasks.click.loss is 'focal', and 'default'"):
        heritage.check(toy.settings(model=model, tasks=other))
    heritage.check(toy.settings(model={**model, "dropout": 0.5}, tasks=MORE))


def test_what_an_audience_told_cannot_be_told_twice(plain, tmp_path):
    heritage = handed(plain(model={"factors": 3, "audience": 5}), tmp_path / "old")
    with pytest.raises(ConfigError, match=r"a run with model.audience cannot be renewed"):
        heritage.check(toy.settings(model=heritage.config.model.model_dump()))


def test_the_earlier_run_teaches_what_it_knew_and_what_still_has_the_same_classes(plain, tmp_path, progress):
    old = plain(training={"remember": 0.4})
    heritage = handed(old, tmp_path / "old")
    new = later(old, tmp_path / "cache", progress, MORE)
    taught = {name: task.taught for name, task in heritage.reminded(new.dataset).tasks.items()}
    assert taught == {"wish": 0.0, "click": 0.4, "dwell": 0.4, "match": 0.4, "time": 0.4} | dict.fromkeys(
        ("kind", "tags", "mood"), 0.0
    )


# in a run


@pytest.fixture
def train(workbench, progress, tmp_path):
    """Train on the toy log, from a run if there is one."""

    def trained(name, earlier=None, kind=Run, **training):
        bench = workbench(tasks=TASKS, training=training)
        run = kind(tmp_path / name)
        (run.folder / "earlier").mkdir(parents=True, exist_ok=True) if earlier else run.folder.mkdir(
            exist_ok=True
        )
        for file, path in earlier.items() if earlier else ():
            (run.folder / "earlier" / file).write_bytes(path.read_bytes())
        (run.folder / "config.toml").write_text(
            tomlkit.dumps(toy.record(tasks=TASKS, model=bench.dataset.config.model.model_dump()))
        )
        pipeline.train(bench, run, progress)
        return bench, run

    return trained


def files(run):
    return {name: run.folder / name for name in ("config.toml", "names.json", "best.safetensors")}


def test_a_run_that_learns_nothing_better_stays_what_the_earlier_one_was(train):
    old, run = train("old", epochs=2)
    new, later = train("new", files(run), epochs=2, lr_heads=5.0)  # which ruins everything
    assert later.read("state.json")["best_epoch"] == 0
    before, after = old.network.state_dict(), new.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before if not name.startswith("readout."))


def test_a_run_goes_on_where_the_earlier_one_ended(train):
    _, first = train("old", epochs=2)
    _, anew = train("anew", epochs=1)
    _, on = train("on", files(first), epochs=1)
    assert on.epochs[0]["loss"] < anew.epochs[0]["loss"]
    assert on.read("state.json")["best"] <= first.read("state.json")["best"] + 1e-6


def test_what_is_remembered_is_what_the_earlier_run_says(train):
    old, first = train("old", epochs=2)
    _, run = train("on", files(first), epochs=1, remember=0.5)
    told = run.told()
    rows = old.dataset.select("train")
    assert set(told) == {"click", "dwell", "match", "time"}
    np.testing.assert_allclose(told["click"][rows], said(old, "train").logits["click"], rtol=1e-4, atol=1e-5)


def test_the_more_is_remembered_the_nearer_a_run_stays(train):
    old, first = train("old", epochs=2)
    far = []
    for share in (0.0, 0.9):
        new, _ = train(
            f"on-{share}", files(first), epochs=2, remember=share, lr_heads=1e-2, metric="dwell:mae"
        )
        far.append(np.abs(said(new, "test").logits["click"] - said(old, "test").logits["click"]).mean())
    assert far[1] < far[0]


def test_what_is_learned_once_more_begins_with_the_earlier_run_too(train):
    _, first = train("old", epochs=2)
    _, run = train("on", files(first), epochs=1, refit=True, lr_heads=1e-9)
    ours, theirs = (
        {name: value for name, value in each.items() if name.startswith("heads.mix")}
        for each in (Heritage(files(run.again) | {"config.toml": first.folder / "config.toml"}).weights,
                     Heritage(files(first)).weights)
    )  # fmt: skip
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], rtol=0, atol=1e-5)


class Killed(BaseException):
    """What no code of ours catches."""


class Mortal(Run):
    """Dies after its first epoch."""

    def checkpoint(self, state):
        super().checkpoint(state)
        raise Killed


def test_a_run_that_is_killed_goes_on_to_the_same_bits(train):
    _, first = train("old", epochs=2)
    whole, _ = train("whole", files(first), epochs=3, remember=0.3)
    with pytest.raises(Killed):
        train("killed", files(first), kind=Mortal, epochs=3, remember=0.3)
    resumed, _ = train("killed", files(first), epochs=3, remember=0.3)
    ours, theirs = resumed.network.state_dict(), whole.network.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
