import numpy as np
import pytest
import torch

from training.batches import Batches
from training.pipeline import Workbench
from training.predict import known, labels_of, predict, represent, served
from training.texts import Texts


def split_of(bench: Workbench, split: str):
    return predict(bench.network, bench.dataset, represent(bench.network, bench.dataset, bench.texts), split)


def test_a_vector_is_the_text_encoders_for_every_text(bench):
    represented = represent(bench.network, bench.dataset, bench.texts)
    assert represented.vectors.shape == (len(bench.dataset.texts), bench.dataset.config.model.dimension)
    with torch.no_grad():
        for number in (0, 5, len(bench.dataset.texts) - 1):
            ids = torch.from_numpy(bench.texts.tokens(number))[None]
            alone = bench.network.text(ids, torch.ones_like(ids))[0]
            torch.testing.assert_close(represented.vectors[number], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_texts_of_a_split_are_enough_for_it(bench, split):
    """Of an encoder that learns; the others are not encoded."""
    dataset, network = bench.dataset, bench.network
    texts = Texts(dataset.texts, network.text, bench.tokenizer)  # nothing kept: as if the encoder learned
    some, every = represent(network, dataset, texts, split), represent(network, dataset, texts)
    encoded = np.isclose(some.vectors, every.vectors, atol=1e-5).all(axis=1)
    assert 0 < encoded.sum() < len(dataset.texts)
    found, expected = (predict(network, dataset, each, split) for each in (some, every))
    for name, logits in expected.logits.items():
        np.testing.assert_allclose(found.logits[name], logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_rows_are_the_candidates_of_the_part_and_each_has_the_answer_of_its_request_alone(bench, split):
    dataset, found = bench.dataset, split_of(bench, split)
    np.testing.assert_array_equal(found.requests, dataset.requests.of(split))
    np.testing.assert_array_equal(found.rows, dataset.select(split))
    places = {int(row): place for place, row in enumerate(found.rows)}
    with torch.no_grad():
        for at in (0, len(found.requests) // 2):
            number = int(found.requests[at])
            batch = Batches(dataset).batch(np.array([number]), {})
            logits = bench.network(batch, bench.texts.pooled(batch.texts))
            rows = [places[row] for row in range(*dataset.requests.starts[number : number + 2])]
            for name, value in logits.items():
                np.testing.assert_allclose(found.logits[name][rows], value[0], rtol=1e-4, atol=1e-4)


def test_values_are_logits_as_they_are_served(bench):
    found = split_of(bench, "validation")
    for task in bench.dataset.tasks:
        values = bench.network.readout(task.name, torch.from_numpy(found.logits[task.name])).numpy()
        np.testing.assert_array_equal(found.values[task.name], values)
        np.testing.assert_array_equal(served(bench.network, task.name, found.logits[task.name]), values)
        assert np.isfinite(values).all()


def test_labels_stand_beside_predictions_for_every_task(bench):
    found = split_of(bench, "test")
    for task in bench.dataset.tasks:
        labels = labels_of(bench.dataset, found, task.name, "test")
        assert len(labels) == len(found.values[task.name])
        assert found.values[task.name].shape[1] == task.width


def test_there_is_a_user_vector_for_every_request(bench):
    found = split_of(bench, "test")
    assert found.users.shape == (len(found.requests), bench.dataset.config.model.dimension)
    np.testing.assert_allclose(np.linalg.norm(found.users, axis=1), 1, atol=1e-5)


def test_a_missing_label_is_not_known():
    assert known(np.array([0.0, np.nan, 1.0])).tolist() == [True, False, True]
    assert known(np.array([0, -1, 2])).tolist() == [True, False, True]
    assert known(np.zeros((3, 2))).tolist() == [True] * 3
