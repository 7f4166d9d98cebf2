import numpy as np
import torch

from benchmarks.quality.encoder_work import every_row
from tests.training import toy
from training.batches import Batches


def test_every_row_has_a_text_of_its_own_and_it_is_the_one_it_had():
    batch = next(Batches(toy.made()).epoch(16, np.random.default_rng(0)))
    whole = every_row(batch)
    alone = [places for places, _ in whole.alone.values()]
    places = [whole.candidates[whole.mask > 0], whole.history[whole.history_mask > 0]]
    places += [whole.queries[whole.query_mask > 0], *alone]
    assert torch.cat(places).tolist() == list(range(len(whole.texts)))
    assert len(whole.texts) > len(batch.texts)
    for name, present in (
        ("candidates", batch.mask),
        ("history", batch.history_mask),
        ("queries", batch.query_mask),
    ):
        ours, theirs = whole.texts[getattr(whole, name)], batch.texts[getattr(batch, name)]
        assert torch.equal(ours[present > 0], theirs[present > 0])
    for name, (mine, _) in whole.alone.items():
        assert torch.equal(whole.texts[mine], batch.texts[batch.alone[name][0]])
