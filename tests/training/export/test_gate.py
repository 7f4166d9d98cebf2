import copy
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from model_store.engine import Engine
from training.export import gate
from training.model.network import Residual
from training.predict import represent


def test_every_text_that_is_read_outside_of_training_is_encoded_by_the_engine(bench):
    dataset = bench.dataset
    wanted = set(gate.needed(dataset).tolist())
    for split in ("validation", "test"):
        for number in dataset.requests.of(split):
            assert set(dataset.rows[slice(*dataset.requests.starts[number : number + 2])]) <= wanted
            assert dataset.requests.queries[number] in wanted | {-1}
            user = dataset.requests.users[number]
            assert user < 0 or dataset.profiles[user] in wanted | {-1}
    for labels in dataset.alone.values():
        assert set(labels.texts[labels.splits > 0].tolist()) <= wanted


def test_the_fp32_engine_loses_nothing(opened, bench, base, progress):
    engine = Engine(opened, "cpu", precision="fp32")
    represented, items = gate.represent_by(engine, bench, base, progress)
    np.testing.assert_allclose(represented.vectors, base.vectors, atol=1e-4)
    for name, values in base.values.items():
        np.testing.assert_allclose(represented.values[name], values, atol=1e-4)
    assert len(items) == len(bench.dataset.item_ids)


def test_what_was_learned_of_the_items_themselves_is_added_to_what_the_engine_reads(opened, bench, progress):
    network = copy.deepcopy(bench.network)
    network.residual = Residual(len(bench.dataset.item_ids), opened.manifest.dimension).eval()
    torch.nn.init.normal_(network.residual.table.weight, std=0.3)
    moved = replace(bench, network=network)
    base = represent(network, bench.dataset, bench.texts)
    represented, _ = gate.represent_by(Engine(opened, "cpu", precision="fp32"), moved, base, progress)
    np.testing.assert_allclose(represented.vectors, base.vectors, atol=1e-4)


def test_the_order_of_the_items_encodings_is_that_of_the_catalogue(opened, bench, base, progress):
    engine = Engine(opened, "cpu", precision="fp32")
    _, items = gate.represent_by(engine, bench, base, progress)
    for number in (0, 50, len(items) - 1):
        alone = engine.text(bench.dataset.texts[number])
        np.testing.assert_array_equal(items[number].vector, alone.vector)


def test_vectors_are_compared_text_by_text(opened, bench):
    engine = Engine(opened, "cpu", precision="fp32")
    assert gate.alikeness(engine, engine, bench) == pytest.approx({"mean": 1.0, "least": 1.0})
    small = gate.alikeness(Engine(opened, "cpu", precision="int8"), engine, bench)
    assert 0.9 < small["least"] < small["mean"] < 1.0


def test_texts_of_the_training_part_are_left_as_torch_encoded_them(loose, spoil, bench, base, progress):
    shutil.copyfile(loose.folder / "text_encoder.onnx", loose.folder / "text_encoder.int8.onnx")
    spoil(loose.folder / "text_encoder.int8.onnx", "text.projection.weight", lambda values: -values)
    represented, _ = gate.represent_by(Engine(loose, "cpu", precision="int8"), bench, base, progress)
    wanted = np.zeros(len(bench.dataset.texts), dtype=bool)
    wanted[gate.needed(bench.dataset)] = True
    np.testing.assert_array_equal(represented.vectors[~wanted], base.vectors[~wanted])
    moved = (represented.vectors[wanted] - base.vectors[wanted]).abs().amax(dim=1)
    assert (moved > 0.01).all()
