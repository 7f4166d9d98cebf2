"""What a step of training costs where the encoder learns: each text once, against one that encodes every row.

python -m benchmarks.quality encoder-work [--steps 3]
"""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.progress import Progress
from torch import Tensor

from benchmarks import fitted, record
from training import pipeline
from training.batches import Batches
from training.datasets import ebnerd
from training.fit import prepare, terms
from training.model.batch import Batch
from training.model.network import pad
from training.pipeline import Workbench

FOLDER = Path("runs/encoder-work")
LISTS = 16  # of a step
ROWS = 64  # texts that the plain loop pads and encodes together
PROTOCOL = (
    "Steps of training on EB-NeRD with 16 lists (with the 64 of its configuration the plain loop needs more "
    "than 24 GiB) and without dropout, so that losses can be compared: forward, losses of all tasks, backward. "
    "The plain loop encodes the text of every candidate and of every event of every history, 64 texts together "
    "in the order of the rows. Chorus encodes each text of a step once, like lengths together; where the last "
    "two layers learn, from the states below them, which were computed once and lie on disk. Rows a second: "
    "candidates and events of the same steps, by the time that each way took."
)


def main(steps: Annotated[int, typer.Option(help="Of each way.")] = 3) -> None:
    """Both ways in turn, for an encoder that learns as a whole and for one whose last layers do."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = ebnerd.convert(fitted.source("ebnerd-demo"), FOLDER)
    found = {}
    for freeze in ("none", "last:2"):
        dataset = fitted.read(fitted.changed(path, model={"freeze": freeze}, training={"batch": LISTS}))
        with Progress() as progress:
            found[freeze] = compare(pipeline.bench(dataset, fitted.CACHE, progress, []), steps)
    heads = ["layers that learn", *found["none"]]
    told = record.table(heads, [[freeze, *row.values()] for freeze, row in found.items()])
    record.write("quality-encoder-work", {"ways": found}, protocol=PROTOCOL, told=told)


def compare(bench: Workbench, steps: int) -> dict[str, Any]:
    """Rows a second of each way over the same steps, and how far their losses are apart at the most."""
    batches = Batches(bench.dataset).epoch(bench.dataset.config.training.batch, np.random.default_rng(7))
    bench.network.eval()
    seconds, rows, apart, distinct = [0.0, 0.0], 0, 0.0, 0
    for number, batch in zip(range(steps + 1), batches, strict=False):
        whole = every_row(batch)
        ways = (whole, partial(plain, bench, whole.texts)), (batch, partial(bench.texts.pooled, batch.texts))
        took, losses = zip(*(step(bench, *way) for way in ways), strict=True)
        if number:  # the first one warms up
            seconds = [sum(pair) for pair in zip(seconds, took, strict=True)]
            rows, distinct = rows + len(whole.texts), distinct + len(batch.texts)
            apart = max(apart, abs(losses[0] / losses[1] - 1.0))
    return {
        "rows a step": rows / steps,
        "distinct texts": distinct / steps,
        "plain, rows a second": rows / seconds[0],
        "Chorus, rows a second": rows / seconds[1],
        "Chorus to plain": seconds[0] / seconds[1],
        "losses apart, relative": apart,
    }


def step(bench: Workbench, batch: Batch, pooled: Callable[[], Tensor]) -> tuple[float, float]:
    """Seconds of one step, and its loss."""
    losses = prepare(bench.network, bench.dataset)
    bench.network.zero_grad()
    start = time.perf_counter()
    shared = bench.network.shared(batch, pooled())
    loss = torch.stack(list(terms(bench.network, losses, batch, shared).values())).sum()
    loss.backward()
    return time.perf_counter() - start, loss.item()


def plain(bench: Workbench, texts: Tensor) -> Tensor:
    """Pooled states (n, H) of texts by number (n,), as often as they are named."""
    tokens = [torch.from_numpy(bench.texts.tokens(number)) for number in texts.tolist()]
    parts = (tokens[start : start + ROWS] for start in range(0, len(tokens), ROWS))
    return torch.cat([bench.network.text.pooled(*pad(part)) for part in parts])


def every_row(batch: Batch) -> Batch:
    """The batch with a text of its own for each candidate, event and query that there is; places (0) for padding."""
    texts: list[Tensor] = []

    def own(places: Tensor, present: Tensor) -> Tensor:
        begin = sum(map(len, texts))
        texts.append(batch.texts[places[present]])
        found = torch.zeros_like(places)
        found[present] = torch.arange(begin, begin + int(present.sum()))
        return found

    return replace(
        batch,
        candidates=own(batch.candidates, batch.mask > 0),
        history=own(batch.history, batch.history_mask > 0),
        queries=own(batch.queries, batch.query_mask > 0),
        alone={
            name: (own(places, torch.ones_like(places, dtype=torch.bool)), labels)
            for name, (places, labels) in batch.alone.items()
        },
        texts=torch.cat(texts),
    )
