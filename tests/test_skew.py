"""Training and serving see the same: the log told to a service event by event, against training's own features."""

import numpy as np
import pytest
from rich.progress import Progress

from app import histories
from app.settings import Settings
from benchmarks.stream import Stream
from model_store.features import FeatureSet
from model_store.shelf import Shelf
from tests.live import real_redis, running, service_of
from training import pipeline
from training.datasets import tables
from training.export import golden
from training.export.publish import publish
from training.run import Run


@pytest.fixture(scope="module")
def bench(bundle):
    root = bundle.parents[2]
    run = Run(root / "runs" / "tiny")
    with Progress(disable=True) as progress:
        found = pipeline.prepare(run.config, root / "cache", progress)
        run.best(found.network)
    return found


@pytest.fixture(scope="module")
def begin(bench):
    requests = bench.dataset.requests
    return float(requests.times[requests.of("test")].min())


@pytest.fixture(scope="module")
def half_told(bench, begin, tmp_path_factory):
    """A bundle whose statistics and histories end where the test part begins."""
    root = tmp_path_factory.mktemp("skew")
    (root / "run").mkdir()
    with Progress(disable=True) as progress:
        publish(bench, Run(root / "run"), Shelf(root / "shelf"), progress, until=np.nextafter(begin, 0.0))
    return root


def test_every_feature_of_the_test_part_is_bit_for_bit_that_of_training(bench, begin, half_told):
    dataset = bench.dataset
    features = FeatureSet(dataset.features, dataset.clock)
    stream = Stream(tables.read(dataset.config).events, features, begin)
    with real_redis() as redis, running(Settings(store=half_told / "shelf", redis_url=redis.url)) as client:
        model = service_of(client).model
        client.portal.call(
            histories.load, half_told / "run" / "histories.jsonl.gz", model.state, model.manifest
        )
        compared = 0
        for number in dataset.requests.of("test").tolist():
            rows = range(*dataset.requests.starts[number : number + 2])
            stream.tell(client, dataset.requests.times[number], at_once=100)
            body, kept = golden.body(dataset, number, limit=None)
            if dataset.requests.users[number] < 0 or len(kept) < len(rows):
                continue  # the service scores an item once, so the list would be another
            user = dataset.user_ids[dataset.requests.users[number]]
            asked = {key: value for key, value in body.items() if key not in ("history", "profile")}
            answer = client.post("/recommend", json={**asked, "user_id": user, "explain": True}).json()
            told = {item["item_id"]: item["features"] for item in answer["items"]}
            for row in kept:
                online = told[dataset.item_ids[dataset.rows[row]]]
                found = np.concatenate([online[name.written] for name in features.names])
                np.testing.assert_array_equal(found.astype(np.float32), dataset.context[row])
                compared += 1
    assert compared > 50
    assert (dataset.context[dataset.select("test")].std(axis=0) > 0).mean() > 0.8, (
        "most features say something"
    )
