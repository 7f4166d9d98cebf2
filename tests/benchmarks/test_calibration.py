import numpy as np
import torch
from rich.progress import Progress

from benchmarks.quality.calibration import judged, needed, quantised
from tests.training import toy
from training import pipeline
from training.predict import represent
from training.run import Run


def test_the_texts_of_the_test_part_are_its_candidates_histories_queries_profiles_and_labelled_texts():
    dataset = toy.made()
    asked = dataset.requests.of("test")
    expected = set(dataset.rows[dataset.select("test")])
    for number in asked:
        start, stop = dataset.requests.history[number]
        expected |= set(dataset.histories.items[start:stop])
        expected |= {dataset.requests.queries[number], dataset.profiles[dataset.requests.users[number]]}
    for labels in dataset.alone.values():
        expected |= set(labels.texts[labels.splits == 2])
    assert needed(dataset).tolist() == sorted(expected - {-1})
    assert np.all(needed(dataset) < len(dataset.texts))


def test_texts_of_the_test_part_are_those_of_the_int8_graph(bundle):
    run = Run(bundle.parents[2] / "runs" / "tiny")
    with Progress(disable=True) as progress:
        bench = pipeline.prepare(run.config, run.folder.parents[1] / "cache", progress)
    run.best(bench.network)
    base = represent(bench.network, bench.dataset, bench.texts)
    small = quantised(bench, run, base)
    read = np.isin(np.arange(len(bench.dataset.texts)), needed(bench.dataset))
    assert torch.equal(small.vectors[~read], base.vectors[~read])
    assert 0.0 < (small.vectors - base.vectors).abs().max() < 0.2
    assert judged(bench, small).keys() == judged(bench, base).keys()
