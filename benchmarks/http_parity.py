"""Training and serving compute the same: real impressions answered over HTTP, against the offline figure.

    python -m benchmarks.http_parity ebnerd [--impressions 100]

Starts the service on the newest bundle of that name, with an embedded Redis. Every impression is asked twice:
with its history inline, and by user id after its history went in through POST /events.
Writes benchmarks/results/http-parity-<name>.json.
"""

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import numpy as np
import torch
import typer
from rich.progress import Progress

from benchmarks.record import RESULTS, git
from model_store.engine import Engine
from model_store.shelf import Shelf
from training import pipeline, ranking
from training.export import gate, golden
from training.predict import predict, represent
from training.run import Run

PORT = "8937"


def main(
    name: Annotated[str, typer.Argument(help="Name of a run and of its bundle.")] = "ebnerd",
    impressions: Annotated[int, typer.Option(help="How many impressions of the test part.")] = 100,
    task: Annotated[str, typer.Option(help="The task whose scores are compared.")] = "click",
) -> None:
    """Compare per-impression AUC over HTTP with the offline one."""
    bundle = Shelf().open(name)
    run = Run(Path("runs") / name)
    with Progress() as progress:
        bench = pipeline.prepare(run.config, Path("runs/cache"), progress)
        run.best(bench.network)
        base = represent(bench.network, bench.dataset, bench.texts)
        shipped, _ = gate.represent_by(Engine(bundle, "cpu"), bench, base, progress)
    dataset = bench.dataset
    predictions = predict(bench.network, dataset, shipped, "test")
    offline = dict(zip(predictions.rows.tolist(), predictions.values[task][:, 0].tolist(), strict=True))
    pool = [number for number in dataset.requests.of("test") if mixed(dataset, int(number), task)]
    sample = np.random.default_rng(0).choice(pool, impressions, replace=False)
    found: dict[str, list[float]] = {"offline": [], "inline": [], "stored": []}
    labels: list[float] = []
    groups: list[int] = []
    with service(bundle.folder) as client:
        for number in sample:
            request, rows = golden.body(dataset, int(number), limit=None)
            items = [dataset.item_ids[dataset.rows[row]] for row in rows]
            inline = answer(client, request, task)
            stored = answer(client, remembered(client, request, f"impression-{number}"), task)
            found["offline"] += [offline[row] for row in rows]
            found["inline"] += [inline[item] for item in items]
            found["stored"] += [stored[item] for item in items]
            labels += dataset.labels[task][rows].tolist()
            groups += [int(number)] * len(rows)
    record = compare(found, labels, groups)
    record |= {"name": name, "impressions": impressions, "bundle": bundle.manifest.fingerprint[:16],
               "precision": bundle.manifest.precision, "date": datetime.now(UTC).date().isoformat(),
               "commit": git("rev-parse", "--short", "HEAD")}  # fmt: skip
    text = json.dumps(record, indent=1)
    (RESULTS / f"http-parity-{name}.json").write_text(text + "\n")
    typer.echo(text)


def compare(found: dict[str, list[float]], labels: list[float], groups: list[int]) -> dict[str, Any]:
    """Per-impression metrics of each way, and the largest difference of a score from the offline one."""
    truth = np.array(labels)
    record: dict[str, Any] = {}
    for way, scores in found.items():
        metrics = ranking.evaluate(truth, np.array(scores), groups=np.array(groups))
        difference = np.abs(np.array(scores) - np.array(found["offline"])).max()
        record[way] = {**metrics, "largest score difference": float(difference)}
    return record


def mixed(dataset: Any, number: int, task: str) -> bool:
    """Whether an impression has both a click and a pass."""
    start, stop = dataset.requests.starts[number], dataset.requests.starts[number + 1]
    labels = dataset.labels[task][start:stop]
    return bool(0 < np.nansum(labels) < stop - start)


def answer(client: httpx.Client, request: dict[str, Any], task: str) -> dict[str, float]:
    """Scores of one task by item."""
    response = client.post("/recommend", json={**request, "k": min(request["k"], 500)})
    response.raise_for_status()
    return {item["item_id"]: item["tasks"][task] for item in response.json()["items"]}


def remembered(client: httpx.Client, request: dict[str, Any], user: str) -> dict[str, Any]:
    """Send the history as events of a user and ask by that user instead."""
    events = [{"user_id": user, **event} for event in request["history"]]
    if events:
        client.post("/events", json={"events": events}).raise_for_status()
    return {key: value for key, value in request.items() if key != "history"} | {"user_id": user}


class service:  # noqa: N801 - reads as a statement
    """A running `chorus-serve` as a context, ready when entered."""

    def __init__(self, bundle: Path) -> None:
        self._bundle = bundle

    def __enter__(self) -> httpx.Client:
        name, version = self._bundle.parent.name, self._bundle.name
        environment = {**os.environ, "CHORUS_PORT": PORT, "CHORUS_MODEL": name, "CHORUS_VERSION": version,
                       "CHORUS_STORE": str(self._bundle.parent.parent)}  # fmt: skip
        program = Path(sys.executable).parent / "chorus-serve"
        self._process = subprocess.Popen([str(program), "serve"], env=environment)
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{PORT}", timeout=30.0)
        for _ in range(300):
            try:
                if self._client.get("/health/ready").status_code == 200:
                    return self._client
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        raise SystemExit("the service did not get ready within 60 s")

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._process.terminate()
        self._process.wait(20)


if __name__ == "__main__":
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    typer.run(main)
