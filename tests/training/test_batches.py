from dataclasses import replace

import numpy as np
import pytest
import torch

from model_store.history import History
from tests.training import toy
from training.batches import ALONE, Batches
from training.dataset import Dataset

QUERY_ONLY = {
    "events": {"user": None, "timestamp": None, "impression": None}, "history": {"events": {}},
    "split": {"by": "query"}, "features": {"use": ["history_size"]},
    "tasks": {"match": {"type": "binary", "inputs": "query_item", "label": "match"}},
}  # fmt: skip


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return toy.made()


@pytest.fixture(scope="module")
def batches(dataset) -> Batches:
    return Batches(dataset)


def history(dataset: Dataset, vectors: np.ndarray, number: int) -> History:
    """What the service would build for a request from inline events and a profile."""
    at = slice(*dataset.requests.history[number])
    past = dataset.histories
    found = History(vectors[past.items[at]], past.events[at], past.times[at])
    user = dataset.requests.users[number]
    profile = dataset.profiles[user] if user >= 0 else -1
    return found.opened_by(vectors[profile]) if profile >= 0 else found


def test_a_row_is_what_the_service_feeds_for_the_request_alone(dataset, batches):
    vectors = np.random.default_rng(0).normal(size=(len(dataset.texts), 4)).astype(np.float32)
    requests = np.arange(len(dataset.requests))
    batch = batches.batch(requests, {})
    seen = set()
    for number in requests:
        online = history(dataset, vectors, number).inputs(dataset.clock)
        real = batch.history_mask[number] > 0
        if not online["mask"].any():
            assert not real.any()
            continue
        seen.add((int(online["events"][0, 0]) == 0, int(real.sum())))
        for name in ("events", "gaps", "hours"):
            np.testing.assert_array_equal(getattr(batch, name)[number][real], online[name][0])
        texts = batch.texts[batch.history[number][real]].numpy()
        np.testing.assert_array_equal(vectors[texts], online["vectors"][0])
    assert {
        (True, 1),
        (True, 5),
        (False, 4),
    } <= seen  # a profile alone, one before a full history, no profile


def test_a_request_is_the_same_row_in_every_batch(dataset, batches):
    whole = batches.batch(np.arange(len(dataset.requests)), {})
    for number in (0, 9, 31, 59):
        alone = batches.batch(np.array([number]), {})
        for name in ("history", "events", "gaps", "hours", "candidates", "context"):
            mask = "mask" if name in ("candidates", "context") else "history_mask"
            rows = [
                getattr(found, name)[place][getattr(found, mask)[place] > 0]
                for found, place in ((alone, 0), (whole, number))
            ]
            if name in ("history", "candidates"):
                rows = [found.texts[row] for found, row in zip((alone, whole), rows, strict=True)]
            torch.testing.assert_close(*rows, rtol=0, atol=0)


def test_each_text_of_a_step_stands_once(dataset, batches):
    for batch in batches.epoch(8, np.random.default_rng(0)):
        assert len(batch.texts.unique()) == len(batch.texts)


def test_labels_of_padding_are_missing(dataset, batches):
    batch = batches.batch(np.arange(len(dataset.requests)), {})
    padding = batch.mask == 0
    assert padding.any()
    assert batch.labels["click"][padding].isnan().all()
    assert (batch.labels["time"][padding] == -1).all()
    assert int((~padding).sum()) == len(dataset.rows)
    np.testing.assert_array_equal(batch.labels["click"][~padding], dataset.labels["click"].astype(np.float32))


def test_what_a_teacher_says_stands_beside_each_candidate(dataset):
    told = np.random.default_rng(0).normal(size=(len(dataset.rows), 2)).astype(np.float32)
    batch = Batches(replace(dataset, taught={"click": told})).batch(np.arange(len(dataset.requests)), {})
    real = batch.mask > 0
    np.testing.assert_array_equal(batch.taught["click"][real], told)
    assert batch.taught["click"][~real].isnan().all()


def test_an_epoch_is_every_training_request_once_in_another_order_each_time(dataset, batches):
    generator = np.random.default_rng(0)
    orders = []
    for _ in range(2):
        texts = [batch.texts[batch.candidates][batch.mask > 0] for batch in batches.epoch(8, generator)]
        orders.append(torch.cat(texts))
    wanted = np.sort(dataset.rows[dataset.select("train")])
    for order in orders:
        np.testing.assert_array_equal(order.sort().values, wanted)
    assert (orders[0] != orders[1]).any()


def test_as_many_steps_as_batches(batches):
    for size in (1, 7, 36, 100):
        assert batches.steps(size) == len(list(batches.epoch(size, np.random.default_rng(0))))


def test_an_epoch_shows_no_request_and_no_labelled_text_of_another_part(dataset, batches):
    rows = {
        name: {tuple(row.tolist()) for row in dataset.context[dataset.select(name)]}
        for name in ("train", "validation", "test")
    }
    for batch in batches.epoch(8, np.random.default_rng(0)):
        shown = {tuple(row.tolist()) for row in batch.context[batch.mask > 0]}
        assert shown <= rows["train"]
        for name, (places, labels) in batch.alone.items():
            known = dataset.alone[name]
            train = known.texts[known.splits == 0]
            assert set(batch.texts[places].tolist()) <= set(train.tolist())
            assert len(places) == len(labels) == min(ALONE, len(train))


def test_labelled_texts_stand_beside_their_labels(dataset, batches):
    batch = next(batches.epoch(8, np.random.default_rng(0)))
    places, labels = batch.alone["mood"]
    for number, label in zip(batch.texts[places], labels, strict=True):
        assert dataset.texts[number] == f"so {toy.KINDS[int(label)]}"
    places, labels = batch.alone["kind"]
    assert labels.tolist() == [int(number) % 2 for number in batch.texts[places]]


def test_a_split_is_its_requests_the_shortest_lists_first(dataset, batches):
    numbers = [number for chunk, _ in batches.split("test", 5) for number in chunk]
    np.testing.assert_array_equal(np.sort(numbers), dataset.requests.of("test"))
    assert (np.diff(np.diff(dataset.requests.starts)[numbers]) >= 0).all()


def test_lists_of_like_length_stand_together_and_the_batches_in_any_order():
    dataset = toy.made()
    mixed = [batch.mask for batch in Batches(dataset).epoch(8, np.random.default_rng(0))]
    sizes = np.diff(dataset.requests.starts)[dataset.requests.of("train")]
    padding = sum(int((mask == 0).sum()) for mask in mixed)
    assert padding <= (sizes.max() - sizes.min()) * 8
    widths = [mask.shape[1] for mask in mixed]
    assert widths != sorted(widths)


def test_a_request_without_a_query_is_masked(dataset, batches):
    batch = batches.batch(np.arange(len(dataset.requests)), {})
    for number, query in enumerate(dataset.requests.queries):
        assert batch.query_mask[number] == (query >= 0)
        if query >= 0:
            assert batch.texts[batch.queries[number]] == query


def test_requests_of_nobody_have_a_masked_history():
    rows = [{"item": "i1", "time": 0.0, "query": f"q{at}", "match": float(at % 2)} for at in range(40)]
    dataset = toy.build(rows, toy.settings(**QUERY_ONLY))
    batch = Batches(dataset).batch(np.arange(40), {})
    assert batch.history_mask.shape[0] == 40
    assert (batch.history_mask == 0).all()
    assert (batch.query_mask == 1).all()
