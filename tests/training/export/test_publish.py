import gzip
import json
import shutil
from collections import Counter
from datetime import datetime

import numpy as np
import onnx
import pytest

from model_store.bundle import Bundle
from model_store.engine import Engine
from model_store.features import FeatureSet
from model_store.scorer import Scorer
from model_store.shelf import Shelf
from tests.training import toy
from training import pipeline, scorecard
from training.export import graphs, publish
from training.export.publish import Draft
from training.predict import represent
from training.run import Run

FILES = {
    "text_encoder.onnx", "text_encoder.int8.onnx", "user_encoder.onnx", "heads.onnx", "tokenizer.json", "proof.npz",
    "golden.jsonl", "warmup.jsonl", "items.ids.json", "items.vectors.npy", "items.published.npy", "items.outputs.npy",
    "items.attributes.json", "items.codes.0.npy", "items.codes.1.npy", "items.codes.2.npy", "items.jsonl",
    "items.numbers.json", "items.statistics.npy", "items.experts.npy", "items.rest.npy", "items.silent.npy",
    "scorer.onnx", "scorer.query.onnx", "scorer.items.onnx",
    "scorer.npz", "scorer.links.onnx", "items.words.npy", "items.shingles.npy",
}  # fmt: skip


# what stands on the shelf


def test_the_bundle_holds_these_files_and_no_other(opened):
    assert set(opened.manifest.files) == FILES


def test_the_manifest_says_what_the_configuration_said(opened, run, bench):
    manifest, config = opened.manifest, run.config
    assert (manifest.name, manifest.version, manifest.encoder) == (config.name, 1, config.model.encoder)
    assert manifest.events == ("profile", *config.history.events)
    assert tuple(field.name for field in manifest.item_text) == config.items.text
    assert {field.name: field.label for field in manifest.profile_text if field.label} == config.users.labels
    assert [task.name for task in manifest.tasks] == list(config.tasks)
    assert manifest.features.use == config.features.use
    assert manifest.features == bench.dataset.features
    assert manifest.statistics_until == bench.dataset.end
    assert manifest.fusion.method == config.fusion.method
    assert manifest.fusion.weights == config.fusion.weights
    assert datetime.fromisoformat(manifest.created).tzinfo is not None


def test_the_catalogue_is_encoded_by_what_ships(opened):
    engine, items = Engine(opened, "cpu"), opened.items
    texts = [json.loads(line)["text"] for line in opened.path("items.jsonl").read_text().splitlines()]
    for row in (0, 60, len(items) - 1):
        encoded = engine.text(texts[row])
        np.testing.assert_allclose(items.vectors[row], encoded.vector, atol=1e-6)
        outputs = np.concatenate([encoded.outputs[task.name] for task in opened.manifest.text_tasks])
        np.testing.assert_array_equal(items.outputs[row], outputs)


def test_what_ships_is_what_the_gate_said_and_the_manifest_says_why(opened):
    manifest = opened.manifest
    assert manifest.precision == ("int8" if manifest.gate["passed"] else "fp32")
    assert manifest.gate["worst"] in manifest.gate["reason"]
    assert set(manifest.gate["tasks"]) == {task.name for task in manifest.tasks}


def test_the_manifest_holds_test_metrics_of_both_and_the_histogram_of_every_scalar_head(opened):
    manifest = opened.manifest
    assert set(manifest.metrics) == {"fp32", "shipped"}
    assert set(manifest.histograms) == {
        task.name for task in manifest.online_tasks if task.type in ("binary", "regression")
    }
    for histogram in manifest.histograms.values():
        assert len(histogram["edges"]) == len(histogram["shares"]) + 1
        assert sum(histogram["shares"]) == pytest.approx(1)


def test_the_catalogue_holds_the_numbers_and_what_was_counted_by_the_end_of_the_log(opened, bench):
    dataset, items = bench.dataset, opened.items
    np.testing.assert_array_equal(items.numbers["price"], dataset.numbers["price"])
    layout = Engine(opened, "cpu").features.layout
    assert items.statistics.dtype == layout.dtype
    assert items.statistics.tobytes() == dataset.log.records(layout, len(items)).tobytes()


def test_histories_lie_beside_the_run_up_to_the_newest_event(run, bench):
    with gzip.open(run.folder / "histories.jsonl.gz", "rt") as file:
        records = [json.loads(line) for line in file]
    assert [record["user_id"] for record in records] == list(bench.dataset.user_ids)
    times = [datetime.fromisoformat(event["timestamp"]) for record in records for event in record["events"]]
    assert max(times).timestamp() == bench.dataset.histories.times.max()


def test_nothing_is_left_behind_beside_the_version(bundle):
    assert sorted(path.name for path in bundle.parent.iterdir()) == ["1", "last"]


# which of the two ships


def choose(bench, base, folder, manifest, progress):
    return publish.choose(bench, Draft(folder, manifest), base, progress)


def test_a_spoilt_int8_file_is_refused_and_fp32_ships_in_its_place(
    bench, base, copy, opened, spoil, progress
):
    spoil(copy / "text_encoder.int8.onnx", "_half", np.zeros_like)
    verdict, shipped, items = choose(bench, base, copy, opened.manifest, progress)
    assert not verdict["passed"]
    assert "the floors are 0.99 and 0.95" in verdict["reason"]
    np.testing.assert_allclose(items.vectors, base.vectors[: len(items)], atol=1e-4)
    np.testing.assert_allclose(shipped.vectors, base.vectors, atol=1e-4)


def test_an_int8_file_that_loses_nothing_ships(bench, base, copy, opened, progress):
    shutil.copyfile(copy / "text_encoder.onnx", copy / "text_encoder.int8.onnx")
    verdict, _, items = choose(bench, base, copy, opened.manifest, progress)
    assert verdict["passed"]
    np.testing.assert_allclose(items.vectors, base.vectors[: len(items)], atol=1e-4)


# up to a time


def test_up_to_a_time_the_catalogue_counts_what_had_happened_by_then_and_no_more(
    bench, base, copy, opened, progress
):
    until = float(np.median(bench.dataset.log.times))
    early = opened.manifest.model_copy(update={"statistics_until": until})
    _, _, items = choose(bench, base, copy, early, progress)
    layout = Engine(opened, "cpu").features.layout
    whole, past = (
        layout.read(found, np.array([until + 1])) for found in (opened.items.statistics, items.statistics)
    )
    assert np.nanmax(past.last) == until
    assert np.nanmax(whole.last) > until


# defaults that the configuration leaves open


def manifest(workbench, tmp_path, **tasks):
    return publish.manifest(workbench(tasks=tasks), Run(tmp_path), 0.0)


CLICK = {"type": "binary", "label": "clicked"}
DWELL = {"type": "regression", "label": "dwell"}
TIME = {"type": "multiclass", "inputs": "user_item", "label": "time", "clock": "daypart"}


def test_without_weights_the_main_tasks_are_fused_and_without_those_the_first(workbench, tmp_path):
    found = manifest(workbench, tmp_path, dwell=DWELL, click={**CLICK, "main": True})
    assert found.fusion.weights == {"click": 1.0}
    assert manifest(workbench, tmp_path, dwell=DWELL, click=CLICK).fusion.weights == {"dwell": 1.0}


def test_candidates_are_fetched_by_the_slopes_of_the_first_main_task(workbench, tmp_path):
    bench = workbench(tasks={"dwell": DWELL, "click": {**CLICK, "main": True}})
    bench.network.heads.slope["click"].data[:] = bench.network.heads.slope["click"].new_tensor([3.0, -1.0])
    retrieval = publish.manifest(bench, Run(tmp_path), 0.0).retrieval
    assert (retrieval.user_weight, retrieval.query_weight) == (3.0, 0.0)
    other = workbench(tasks={"click": {**CLICK, "main": True}}, model={"projections": True})
    retrieval = publish.manifest(other, Run(tmp_path), 0.0).retrieval
    assert (retrieval.user_weight, retrieval.query_weight) == (2.0, 2.0)


def test_a_bundle_of_classes_alone_has_defaults_too(workbench, tmp_path):
    found = manifest(workbench, tmp_path, time=TIME)
    assert found.fusion.weights == {"time": 1.0}
    assert found.retrieval.user_weight > 0


# other data


def test_data_of_queries_alone_make_a_bundle_that_opens(bert, tmp_path, progress):
    """No users, no times, no impressions, no attributes, no task that reads one text."""
    sections = {
        "events": {"user": None, "timestamp": None, "impression": None}, "history": {"events": {}},
        "split": {"by": "query"}, "features": {"use": ["history_size"]}, "items": {"attributes": []},
        "tasks": {"match": {"type": "binary", "inputs": "query_item", "label": "match"}},
        "model": {"encoder": str(bert)}, "training": {"epochs": 1},
    }  # fmt: skip
    rows = [
        {"item": f"i{at % 12}", "time": 0.0, "query": f"{toy.KINDS[at % 2]} {at}", "match": float(at % 4 < 2)}
        for at in range(120)
    ]
    dataset = toy.build(rows, toy.settings(**sections))
    bench, run = pipeline.bench(dataset, tmp_path / "cache", progress, []), Run(tmp_path / "run")
    run.folder.mkdir()
    pipeline.train(bench, run, progress)
    scorecard.evaluate(bench, run, progress, alone=False)
    published = publish.publish(bench, run, Shelf(tmp_path / "shelf"), progress)
    opened = Bundle.open(published.folder)
    engine = Engine(opened, "cpu")
    query = engine.text("even 3").vector
    found = engine.heads(query * 0, query, opened.items.vectors, np.zeros((12, 1), dtype=np.float32))
    assert found["match"].shape == (12, 1)
    assert opened.items.statistics is None
    assert Scorer(opened, engine.features).check(opened, engine)["match"] < 1e-6
    for line in opened.lines("golden.jsonl"):
        query = engine.text(line["request"]["query"]).vector
        for item, tasks in line["expected"].items():
            vector = opened.items.vectors[opened.items.rows[item]][None]
            value = engine.heads(query * 0, query, vector, np.zeros((1, 1), dtype=np.float32))["match"]
            assert tasks["match"] == pytest.approx(value.item(), abs=1e-4)


def test_a_factorisation_and_levels_of_experts_are_served_as_they_were_trained(workbench, tmp_path, progress):
    model = {"factors": 3, "audience": 20, "sharing": "ple", "levels": 3}
    bench = workbench(model=model, training={"epochs": 1})
    run = Run(tmp_path / "run")
    run.folder.mkdir()
    pipeline.train(bench, run, progress)
    scorecard.evaluate(bench, run, progress, alone=False)
    opened = Bundle.open(publish.publish(bench, run, Shelf(tmp_path / "shelf"), progress).folder)
    assert opened.manifest.dimension == opened.items.vectors.shape[1] == 8 + 3 * 3 + 2
    assert max(opened.manifest.parity.values()) < 1e-4
    engine = Engine(opened, "cpu")
    scorer = Scorer(opened, engine.features)
    assert max(scorer.check(opened, engine).values()) < 1e-4
    assert not scorer.compiled, "the kernel knows one level"
    assert {"scorer.npz", "scorer.links.onnx"}.isdisjoint(opened.manifest.files)
    assert not bench.network.audience.table.weight.any()
    learned = bench.network.factors.table.weight.detach().numpy()
    assert np.array_equal(opened.items.vectors[:, 9:], learned)
    assert engine.text("a thing that is new").vector[8:].tolist() == [1.0] + [0.0] * 10


@pytest.mark.parametrize("adapters", ["lora", "ia3"])
def test_what_adapters_learned_is_in_the_weights_that_are_served(workbench, tmp_path, progress, adapters):
    bench = workbench(
        model={"freeze": "last:1", "adapters": adapters}, training={"lr_adapters": 0.02, "refit": True}
    )
    run = Run(tmp_path / "run")
    run.folder.mkdir()
    pipeline.train(bench, run, progress)
    again = workbench(model={"freeze": "last:1", "adapters": adapters}, training={"lr_adapters": 0.02})
    came = represent(again.network, again.dataset, again.texts).vectors
    run.again.best(again.network)  # as `chorus-train export` opens a finished run
    base = represent(again.network, again.dataset, again.texts).vectors
    assert (base - came).abs().max() > 0.01
    opened = Bundle.open(publish.publish(again, run, Shelf(tmp_path / "shelf"), progress).folder)
    assert max(opened.manifest.parity.values()) < 1e-4
    engine = Engine(opened, "cpu", precision="fp32")
    for number, text in enumerate(again.dataset.texts[:5]):
        np.testing.assert_allclose(engine.text(text).vector, base[number].numpy(), atol=1e-4)
    sizes = {}
    for name in ("plain", "adapted"):
        model = onnx.load(
            opened.path("text_encoder.onnx") if name == "adapted" else _plain(workbench, tmp_path)
        )
        assert not any("lora" in each.name or "ia3" in each.name for each in model.graph.initializer)
        sizes[name] = Counter(node.op_type for node in model.graph.node)
    assert sizes["plain"] == sizes["adapted"]


def _plain(workbench, tmp_path):
    """The text encoder's graph of a network without adapters."""
    bench = workbench(model={"freeze": "last:1"})
    graphs.export(bench.network, tmp_path, FeatureSet(bench.dataset.features, bench.dataset.clock))
    return tmp_path / "text_encoder.onnx"
