"""The stages together; above all: does the model find a truth that we put there."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from model_store.clock import DAYPARTS
from tests import tiny
from tests.training import toy
from training import pipeline, scorecard
from training.config import parse
from training.export.publish import manifest
from training.pipeline import Workbench
from training.predict import Predictions, predict, represent
from training.run import Run

WORDS = ("amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heath", "inlet", "jetty")
THINGS = 40


def checkerboard(folder: Path, impressions: int = 700) -> Path:
    """Even users open even things, odd users odd ones; even things in the evening, odd ones in the morning.

    Nothing but a user's own history tells which kind the user is, and nothing but the text which kind a thing is.
    """
    random = np.random.default_rng(0)
    items = [
        (f"i{n}", f"{toy.KINDS[n % 2]} {WORDS[n % 10]} {WORDS[n // 4 % 10]}", toy.START - n * toy.DAY)
        for n in range(THINGS)
    ]
    rows: list[dict[str, Any]] = []
    for number in range(impressions):
        user, hour = int(random.integers(24)), (9.0, 20.0)[int(random.integers(2))]
        time = toy.START + (number // 12) * toy.DAY + (hour - 11.0) * 3600 + float(random.integers(3000))
        shown = [
            *2 * random.choice(THINGS // 2, 3, replace=False),
            *2 * random.choice(THINGS // 2, 3, replace=False) + 1,
        ]
        for item in random.permutation(shown):
            liked = item % 2 == user % 2
            now = (item % 2 == 0) == (hour > 12)
            rows.append(
                {"user": f"u{user}", "item": f"i{item}", "time": time, "impression": f"s{number}",
                 "clicked": int(random.random() < (0.9 if liked and now else 0.25 if liked else 0.03))}
            )  # fmt: skip
    schema = ["item_id", "text", "published"]
    times = pl.from_epoch(pl.col("published").cast(pl.Int64)).dt.replace_time_zone("UTC")
    pl.DataFrame(items, schema=schema, orient="row").with_columns(times).write_parquet(
        folder / "items.parquet"
    )
    moments = pl.from_epoch(pl.col("time").cast(pl.Int64)).dt.replace_time_zone("UTC")
    pl.DataFrame(rows).with_columns(moments).write_parquet(folder / "events.parquet")
    tiny.encoder(folder / "bert", [text for _, text, _ in items])
    return folder


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory, progress) -> tuple[Workbench, Run, dict[str, Any]]:
    """A joint model of the checkerboard, trained by the pipeline, and its evaluation."""
    folder = checkerboard(tmp_path_factory.mktemp("truth"))
    record = toy.record(
        items={"attributes": [], "id": "item_id"},
        events={"item": "item", "query": None},
        history={"events": {"click": "clicked"}, "limit": 20},
        features={"use": ["hour", "item_age", "history_size"]},
        tasks={
            "click": {"type": "binary", "label": "clicked", "main": True},
            "time": {"type": "multiclass", "inputs": "user_item", "label": "time", "clock": "daypart"},
        },
        model={"encoder": str(folder / "bert"), "dimension": 16, "hidden": 16},
        training={"epochs": 8, "batch": 16, "lr_heads": 5e-3, "patience": 8},
        fusion={"goal": "click:ndcg@10"},
    )
    bench = pipeline.prepare(parse(record, folder / "toy.toml"), folder / "cache", progress)
    run = Run(folder / "run")
    run.folder.mkdir()
    pipeline.train(bench, run, progress)
    return bench, run, scorecard.evaluate(bench, run, progress, alone=True)


def test_texts_that_the_encoder_cannot_read_are_told(tmp_path, progress):
    folder = checkerboard(tmp_path, impressions=40)
    settings = {"items": {"attributes": []}, "events": {"item": "item", "query": None},
                "history": {"events": {"click": "clicked"}}, "features": {"use": ["hour"]},
                "tasks": {"click": {"type": "binary", "label": "clicked"}},
                "model": {"encoder": str(folder / "bert"), "dimension": 16}}  # fmt: skip
    config = parse(toy.record(**settings), folder / "toy.toml")
    assert not [line for line in pipeline.prepare(config, folder, progress).report if "texts" in line]
    items = pl.read_parquet(folder / "items.parquet")
    items.with_columns(text=pl.lit("手机 好的手机")).write_parquet(folder / "items.parquet")
    told = pipeline.prepare(config, folder, progress).report[-1]
    assert told.startswith("texts: ")
    assert f"% of the tokens are unknown to {folder / 'bert'}, to which they are all the same" in told


def parity(bench: Workbench, requests: np.ndarray) -> np.ndarray:
    """0 for even users and 1 for odd ones, by request."""
    names = np.array([int(user.removeprefix("u")) for user in bench.dataset.user_ids])
    return names[bench.dataset.requests.users[requests]] % 2


def answers(bench: Workbench) -> Predictions:
    return predict(bench.network, bench.dataset, represent(bench.network, bench.dataset, bench.texts), "test")


def test_an_evaluation_tells_of_joint_and_alone_what_they_cost_and_for_whom_they_are_good(truth):
    bench, _, record = truth
    assert set(record["costs"]) == {"joint", "click alone", "time alone"}
    assert all(each["seconds"] > 0 and each["epochs"] > 0 for each in record["costs"].values())
    assert record["costs"]["click alone"]["learned"] < record["costs"]["joint"]["learned"]
    assert set(record["slices"]["joint"]) == set(record["slices"]["alone"]) == {"click", "time"}
    rows = [record["slices"]["joint"]["click"][f"{kind} items"]["rows"] for kind in ("head", "tail", "cold")]
    assert sum(rows) == len(bench.dataset.select("test"))


def test_the_model_finds_who_likes_what_and_beats_every_baseline(truth):
    tests = truth[2]["tests"]
    joint = tests["joint"]["click"]["impression_auc"]
    assert joint > 0.8
    baselines = {
        name: found["click"]
        for name, found in tests.items()
        if name not in ("joint", "alone") and "click" in found
    }
    ranked = {name: found["impression_auc"] for name, found in baselines.items() if "impression_auc" in found}
    assert set(ranked) == {"random", "popularity", "newest"}
    assert joint > max(ranked.values()) + 0.15
    assert tests["joint"]["click"]["log_loss"] < baselines["constant"]["log_loss"]


def test_a_users_evening_things_are_wanted_in_the_evening_and_the_morning_things_in_the_morning(truth):
    bench = truth[0]
    found = answers(bench)
    things = bench.dataset.rows[found.rows] % 2
    liked = things == parity(bench, bench.dataset.requests.owners[found.rows])
    chances = found.values["time"][liked]
    evening, morning = chances[:, DAYPARTS.index("evening")], chances[:, DAYPARTS.index("morning")]
    even = things[liked] == 0
    assert evening[even].mean() > 0.6
    assert evening[~even].mean() < 0.4
    assert (evening[even] > morning[even]).mean() > 0.8
    assert (morning[~even] > evening[~even]).mean() > 0.8


def test_users_who_like_the_same_kind_are_nearer_to_each_other(truth):
    found = answers(truth[0])
    kinds = parity(truth[0], found.requests)
    near, same = found.users @ found.users.T, kinds[:, None] == kinds[None, :]
    assert near[same].mean() > near[~same].mean() + 0.2


# the stages


def test_a_stated_goal_gives_a_fusion_that_the_run_the_report_and_the_bundle_have(truth):
    bench, run, record = truth
    found = run.read("fusion.json")
    assert found["goal"] == {"click:ndcg@10": 1.0}
    best = found["fusions"][found["chosen"]]
    assert best["validation"] >= found["fusions"]["equal weights"]["validation"]
    assert best["weights"]["click"] > 0.0
    assert record["fusion"]["fusions"][found["chosen"]]["test"] > 0.7
    fused = manifest(bench, run, 0.0).fusion
    assert (fused.method, fused.weights) == (best["method"], best["weights"])


def test_an_evaluation_has_the_joint_model_each_task_alone_and_the_baselines(truth):
    bench, run, record = truth
    assert run.read("metrics.json") == json.loads(json.dumps(record))
    assert set(record["tests"]["alone"]) == set(record["tests"]["joint"]) == {"click", "time"}
    assert record["tests"]["alone"]["click"]["impression_auc"] > 0.7
    assert record["data"] == bench.dataset.facts
    assert 0 <= record["retrieval"]["recall@10"] <= record["retrieval"]["recall@100"] <= 1


def test_training_each_task_alone_leaves_the_joint_model_as_it_is(truth):
    bench, run, record = truth
    assert scorecard.test(bench) == record["tests"]["joint"]
    weights = {name: value.clone() for name, value in bench.network.state_dict().items()}
    run.best(bench.network)
    assert all(torch.equal(value, weights[name]) for name, value in bench.network.state_dict().items())


def test_where_the_run_stood_is_written_down(truth):
    state = truth[1].read("state.json")
    assert 1 <= state["best_epoch"] <= state["epoch"] <= 8
    assert state["step"] == state["epoch"] * -(-len(truth[0].dataset.requests.of("train")) // 16)


def test_the_projection_begins_with_the_geometry_of_the_catalogue(workbench):
    """Before any training, items that read alike have vectors that are alike."""
    bench = workbench()
    pooled = bench.texts.all()[: toy.ITEMS]
    centred = torch.nn.functional.normalize(pooled - pooled.mean(dim=0), dim=-1)
    vectors = bench.network.text.project(pooled)
    off = ~torch.eye(toy.ITEMS, dtype=torch.bool)
    before, after = (centred @ centred.T)[off], (vectors @ vectors.T)[off]
    assert torch.corrcoef(torch.stack([before, after]))[0, 1] > 0.9
