import numpy as np
import pytest
import torch
from rich.progress import Progress

from benchmarks.quality.encoding import difference, every, spread, step
from tests import tiny
from tests.training import toy
from training import pipeline
from training.run import Run
from training.study import Study


@pytest.mark.parametrize("freeze", ["all", "last:1"])
def test_a_loop_over_every_row_finds_the_losses_of_distinct_texts(freeze, tmp_path):
    words = [*toy.items()["text"].to_list(), *toy.USERS.values()]
    model = {"encoder": str(tiny.encoder(tmp_path / "bert", words)), "freeze": freeze}
    with Progress(disable=True) as progress:
        bench = pipeline.bench(toy.made(model=model), tmp_path / "cache", progress, [])
    study = Study(bench.network, bench.dataset, bench.texts, Run(tmp_path / "run"))
    batch = next(study.batches.epoch(8, np.random.default_rng(0)))
    wide = spread(batch)
    assert len(wide.texts) > len(batch.texts) == len(set(batch.texts.tolist()))
    found = {name: step(study, each, states) for name, each, states in [
        ("rows", wide, every(wide, bench)), ("distinct", batch, bench.texts.pooled(batch.texts)),
    ]}  # fmt: skip
    assert difference(found["rows"], found["distinct"]) < 1e-5
    shuffled = step(study, wide, every(wide, bench).flip(0))
    assert difference(found["rows"], shuffled) > 1e-5
    assert torch.isfinite(torch.tensor(list(shuffled.values()))).all()
