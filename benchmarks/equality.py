"""The same features offline and online: a log replayed through the service, against training's own figures.

    python -m benchmarks.equality ebnerd [--impressions 2000]

The run's bundle is published with its statistics and histories up to the test part. Then a service is told the whole
test part, event by event in order of time, and asked at a sample of its impressions: each time when it knows all that
is strictly earlier, and nothing else. Every column of every feature, and every task's value, is compared with what
training has for that row. A bound that is broken ends it with code 1.
"""

import shutil
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import httpx
import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.progress import Progress

from benchmarks import gaps, record
from benchmarks.gaps import Offline, Online
from benchmarks.serving import TIMEOUT, load, serving
from benchmarks.stream import Stream
from model_store.engine import Engine, cores
from model_store.features import FeatureSet
from model_store.shelf import Shelf
from training import pipeline
from training.build import build
from training.dataset import TRAIN, Dataset
from training.datasets import tables
from training.datasets.tables import Tables
from training.export import gate, golden
from training.export.publish import publish
from training.predict import predict, represent
from training.run import Run

MOST = 500  # items of one answer
PATIENCE = {"redis_timeout_ms": 10_000}  # what is compared are numbers, not waits

PROTOCOL = (
    "{name}: a service, with a bundle whose statistics and histories end where the test part begins, is told "
    "the test part event by event (POST /events), in order of time. At {impressions:,} of its impressions, "
    "drawn at random (seed {seed}), the list is asked for by user id (POST /recommend, explain) once all that "
    "is strictly earlier has been told. Differences from training's own matrix and predictions, {rows:,} rows; "
    "`not 0` and `differing` are shares of a feature's values."
)


def main(
    name: Annotated[str, typer.Argument(help="Name of a finished run: the folder `runs/<name>`.")] = "ebnerd",
    impressions: Annotated[int, typer.Option(help="Impressions of the test part to ask for.")] = 2_000,
    seed: Annotated[int, typer.Option(help="Another seed draws others.")] = 0,
    runs: Annotated[Path, typer.Option(help="Where the run's folder is.")] = Path("runs"),
    out: Annotated[
        Path, typer.Option(help="Where the results go.", show_default="benchmarks/results")
    ] = record.RESULTS,
) -> None:
    """Replay the test part of a run through the service and compare features and scores with training's.

    Publishes into a folder of its own and removes it: nothing on your shelf, in your Redis or in the run changes.
    Writes equality-<name>.json and .md; ends with code 1 if a bound is broken.
    """
    run = Run(runs / name)
    with Progress() as progress, tempfile.TemporaryDirectory() as folder:
        step = progress.add_task("read tables", total=None)
        found = tables.read(run.config)
        dataset = build(run.config, found)
        progress.update(step, total=1, completed=1)
        begin = _begin(dataset)
        bench = pipeline.bench(dataset, runs / "cache", progress, [])
        run.best(bench.network)
        own = Run(Path(folder) / name)
        own.folder.mkdir()
        if run.config.fusion.goal:
            shutil.copy(run.folder / "fusion.json", own.folder)
        bundle = publish(bench, own, Shelf(Path(folder) / "shelf"), progress, until=np.nextafter(begin, 0.0))
        base = represent(bench.network, dataset, bench.texts)
        shipped, items = gate.represent_by(Engine(bundle, "cpu"), bench, base, progress)
        offline = Offline(dataset, predict(bench.network, dataset, shipped, "test"), items)
        sample = _sample(dataset, impressions, seed)
        settings = {**PATIENCE, "redis_dir": Path(folder) / "redis"}
        load(bundle.folder, own.folder / "histories.jsonl.gz", **settings)
        with serving(bundle.folder, **settings) as address:
            online, effort = replay(address, found, dataset, sample, progress)
    compared = gaps.compare(offline, online)
    about = {"name": name, "impressions": len(sample), "rows": len(online.rows)}
    broken = gaps.broken(compared)
    told = gaps.told(compared, effort, broken)
    record.write(
        f"equality-{name}",
        {**about, "precision": bundle.manifest.precision, **compared, **effort, "broken": broken},
        protocol=PROTOCOL.format(**about, seed=seed), told=told, folder=out,
    )  # fmt: skip
    typer.echo(told)
    if broken:
        raise typer.Exit(1)


def replay(
    address: str, found: Tables, dataset: Dataset, sample: NDArray[np.int64], progress: Progress
) -> tuple[Online, dict[str, float]]:
    """Tell and ask in order of time; the answers, and what it took."""
    features = FeatureSet(dataset.features, dataset.clock)
    stream = Stream(found.events, features, _begin(dataset))
    bar = progress.add_task("tell the test part and ask", total=len(stream))
    rows, told, tasks = [], [], []
    spent = asked = 0.0
    with httpx.Client(base_url=address, timeout=TIMEOUT) as client:
        limits = client.get("/info").json()["limits"]
        for number in [*sample.tolist(), None]:
            start = time.perf_counter()
            before = np.inf if number is None else dataset.requests.times[number]
            progress.advance(bar, stream.tell(client, before, at_once=limits["batch"]))
            spent += time.perf_counter() - start
            if number is not None:
                start = time.perf_counter()
                answers = _ask(client, dataset, number)
                asked += time.perf_counter() - start
                rows += [row for row, _ in answers]
                told += [_row(answer, features) for _, answer in answers]
                tasks += [answer["tasks"] for _, answer in answers]
    effort = {"events": len(stream), "seconds telling": spent, "events a second": len(stream) / spent,
              "seconds asking": asked}  # fmt: skip
    return Online(np.array(rows), np.array(told, dtype=np.float32), tasks), effort


def _ask(client: httpx.Client, dataset: Dataset, number: int) -> list[tuple[int, Any]]:
    """The candidate rows of an impression, each with its answer."""
    request, rows = golden.body(dataset, number, limit=None)
    request = {key: value for key, value in request.items() if key not in ("history", "profile")}
    user = dataset.user_ids[dataset.requests.users[number]]
    response = client.post("/recommend", json={**request, "user_id": user, "explain": True})
    if response.status_code != 200:
        raise SystemExit(f"POST /recommend: {response.status_code} {response.text[:500]}")
    answer = response.json()
    if answer["degraded"] or answer["unknown_items"] or len(answer["items"]) != len(rows):
        raise SystemExit(
            f"impression {number}: answered with {answer['degraded']}, {answer['unknown_items']}"
        )
    by_item = {item["item_id"]: item for item in answer["items"]}
    return [(row, by_item[dataset.item_ids[dataset.rows[row]]]) for row in rows]


def _row(answer: dict[str, Any], features: FeatureSet) -> list[float]:
    return [value for name in features.names for value in answer["features"][name.written]]


def _begin(dataset: Dataset) -> float:
    """When the test part begins; everything else must lie before it."""
    requests = dataset.requests
    begin = float(requests.times[requests.of("test")].min())
    if not begin > requests.times[requests.splits == TRAIN].max():
        raise SystemExit('the test part does not come after the training part; split it by = "time"')
    return begin


def _sample(dataset: Dataset, size: int, seed: int) -> NDArray[np.int64]:
    """Impressions of the test part, in order of time: of a user, no item twice, not too long for one answer."""
    requests = dataset.requests
    known = []
    for number in requests.of("test").tolist():
        items = dataset.rows[requests.starts[number] : requests.starts[number + 1]]
        if requests.users[number] >= 0 and len(items) <= MOST and len(np.unique(items)) == len(items):
            known.append(number)
    drawn = np.random.default_rng(seed).choice(known, min(size, len(known)), replace=False)
    return np.asarray(drawn[np.argsort(requests.times[drawn], kind="stable")], dtype=np.int64)


if __name__ == "__main__":
    torch.set_num_threads(cores())
    typer.run(main)
