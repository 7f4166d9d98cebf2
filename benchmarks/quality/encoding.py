"""What it saves to encode each text of a step once: against a loop that encodes every row, and in two processes.

    python -m benchmarks.quality encoding [--steps 5]

On EB-NeRD, with its shipped configuration. Takes about twenty minutes of two free cores and 18 GB. A part that was
measured stays in runs/encoding/; delete it there to measure it again.
"""

import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from rich.progress import Progress
from torch import Tensor

from benchmarks import fitted, record
from benchmarks.quality.joint import command, prepare
from training import pipeline
from training.model.batch import Batch
from training.model.network import pad
from training.run import Run
from training.study import Study, terms
from training.team import Team
from training.texts import Texts
from training.threads import single

DATA = Path("data/ebnerd/ebnerd.toml")
FOLDER = Path("runs/encoding")
FREEZE = ("last:2", "all")
TOGETHER = 64  # texts of one padded run of the plain loop
TEAM_STEPS, WARM = 8, 2
PROTOCOL = (
    "EB-NeRD, the shipped configuration and its batches of 64 lists, dropout off so that losses can be compared. "
    "Every row: each candidate, event of a history, query and labelled item is a text of its own, encoded through "
    "all layers in the order of the rows, 64 at once, padded to the longest; gradients only where something learns. "
    "Once: each distinct text of the step, shortest beside shortest. Kept: the same from what is on disk of the "
    "layers that do not learn (with a frozen encoder, of all of them). A step is forward, losses and backward; the "
    "same batches, in turns. Rows are texts that the loop encodes; the ratio is the median over steps of the loop's "
    "time to ours. Processes: the same steps by torchrun in one process with two threads (one "
    "where the encoder is frozen, as training has it), and in two with one each."
)


def main(steps: Annotated[int, typer.Option(help="Batches that everyone takes.")] = 5) -> None:
    """Measure, and write the table."""
    if not DATA.is_file():
        command("chorus-train", *prepare("ebnerd"))
    jobs = [(freeze, steps, size) for freeze in FREEZE for size in (0, 1, 2)]
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        pool.map(measure, [job for job in jobs if not place(*job).is_file()], chunksize=1)
    parts = {(freeze, size): json.loads(place(freeze, steps, size).read_bytes()) for freeze, _, size in jobs}
    found = {freeze: parts[freeze, 0] for freeze in FREEZE}
    write(found, {freeze: {size: parts[freeze, size] for size in (1, 2)} for freeze in FREEZE})


def place(freeze: str, steps: int, size: int) -> Path:
    """Where a part lies: a team of so many processes, or, where it is none, the ways to take these steps."""
    return FOLDER / f"{freeze.replace(':', '-')}-{f'team-{size}' if size else f'steps-{steps}'}.json"


def measure(job: tuple[str, int, int]) -> None:
    """One part, in a process of its own: the plain loop's memory must not stand beside a team's."""
    freeze, steps, size = job
    path = place(*job)
    path.parent.mkdir(parents=True, exist_ok=True)
    fitted.keep(path.parent, path.stem, team(freeze, size) if size else compared(freeze, steps))


def workbench(freeze: str) -> pipeline.Workbench:
    """A new network, and its texts."""
    dataset = fitted.read(fitted.changed(DATA, model={"freeze": freeze}))
    with Progress(disable=True) as progress:
        return pipeline.bench(dataset, fitted.CACHE, progress, [])


def compared(freeze: str, steps: int) -> dict[str, Any]:
    """Seconds of each way to take the same steps, rows and distinct texts of each, and how far the losses differ."""
    bench = workbench(freeze)
    dataset, texts = bench.dataset, bench.texts
    once = Texts(dataset.texts, bench.network.text, bench.tokenizer)  # keeps nothing
    with tempfile.TemporaryDirectory() as folder:
        study = Study(bench.network, dataset, texts, Run(Path(folder)))
    bench.network.eval()
    batches = study.batches.epoch(study.config.batch, np.random.default_rng(0))
    seconds: dict[str, list[float]] = {"every row": [], "once": [], "kept": []}
    rows, distinct, apart = [], [], 0.0
    for _ in range(steps):
        batch = next(batches)
        wide = spread(batch)
        ways: dict[str, Callable[[], dict[str, float]]] = {
            "every row": lambda wide=wide: step(study, wide, every(wide, bench)),
            "once": lambda batch=batch: step(study, batch, once.pooled(batch.texts)),
            "kept": lambda batch=batch: step(study, batch, texts.pooled(batch.texts)),
        }
        losses = {}
        for way, act in ways.items():
            with single(when=texts.kept and way == "kept"):
                begun = time.perf_counter()
                losses[way] = act()
                seconds[way].append(time.perf_counter() - begun)
        rows.append(len(wide.texts))
        distinct.append(len(batch.texts))
        apart = max(apart, *(difference(losses["every row"], losses[way]) for way in ("once", "kept")))
    return {"seconds": seconds, "rows": rows, "distinct": distinct, "losses differ by": apart}


def spread(batch: Batch) -> Batch:
    """The same batch with a text of its own for whatever refers to one."""
    parts = [batch.candidates, batch.history, batch.queries, *(places for places, _ in batch.alone.values())]
    masks = [batch.mask, batch.history_mask, batch.query_mask, *(torch.ones(len(each)) for each in parts[3:])]
    texts, moved, count = [], [], 0
    for part, mask in zip(parts, masks, strict=True):
        held = mask > 0
        places = torch.zeros_like(part)  # padding refers to any
        places[held] = torch.arange(count, count + int(held.sum()))
        texts.append(batch.texts[part[held]])
        moved.append(places)
        count += int(held.sum())
    alone = {
        name: (places, labels)
        for (name, (_, labels)), places in zip(batch.alone.items(), moved[3:], strict=True)
    }
    return replace(
        batch,
        texts=torch.cat(texts),
        candidates=moved[0],
        history=moved[1],
        queries=moved[2],
        alone=alone,
    )


def every(batch: Batch, bench: pipeline.Workbench) -> Tensor:
    """Pooled states (rows, H), each row encoded."""
    ids = [torch.from_numpy(bench.texts.tokens(number)) for number in batch.texts.tolist()]
    chunks = (ids[start : start + TOGETHER] for start in range(0, len(ids), TOGETHER))
    with torch.set_grad_enabled(not bench.network.text.frozen):
        return torch.cat([bench.network.text.pooled(*pad(chunk)) for chunk in chunks])


def step(study: Study, batch: Batch, pooled: Tensor) -> dict[str, float]:
    """The losses of a batch, and the gradients of their sum."""
    found = terms(study.network, study.losses, batch, study.network.shared(batch, pooled))
    study.network.zero_grad()
    torch.stack(list(found.values())).sum().backward()
    return {name: loss.item() for name, loss in found.items()}


def difference(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """The most that a task's loss differs by, of itself."""
    return max(abs(one[name] - other[name]) / abs(one[name]) for name in one)


def team(freeze: str, size: int) -> dict[str, Any]:
    """What a team of so many processes finds."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        run = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={size}"]
        subprocess.run([*run, "-m", "benchmarks.quality.encoding", freeze, str(out)], check=True)
        found: dict[str, Any] = json.loads(out.read_bytes())
    return found


def member(freeze: str, out: Path) -> None:
    """One of a team: takes the steps; the first writes how long they took, and the losses of the last."""
    with Team.joined() as joined, tempfile.TemporaryDirectory() as folder:
        with joined.turns():
            bench = workbench(freeze)
        study = Study(bench.network, bench.dataset, bench.texts, Run(Path(folder)), team=joined)
        optimiser = torch.optim.AdamW(bench.network.parameter_groups(2e-3, 2e-5, 0.05))
        batches = study.batches.epoch(study.config.batch, np.random.default_rng(0), joined)
        seconds, loss = [], 0.0
        with single(when=bench.texts.kept):
            for _ in range(WARM + TEAM_STEPS):
                batch, begun = next(batches), time.perf_counter()
                loss = study.learn(batch, optimiser)
                seconds.append(time.perf_counter() - begun)
        if joined.leads:
            out.write_text(json.dumps({"seconds": seconds[WARM:], "loss": loss}))


def write(found: Mapping[str, Any], teams: Mapping[str, Any]) -> None:
    """The tables."""
    rows, raced = [], []
    for freeze, of in found.items():
        loop = np.array(of["seconds"]["every row"])
        for way, seconds in of["seconds"].items():
            ratios = loop / np.array(seconds)
            rate = np.median(np.array(of["rows"]) / np.array(seconds))
            rows.append(
                [
                    freeze,
                    way,
                    float(rate),
                    f"{np.median(ratios):.1f} ({ratios.min():.1f} to {ratios.max():.1f})",
                    f"{of['losses differ by']:.1e}" if way == "kept" else "",
                ]
            )
        one, two = (float(np.median(teams[freeze][size]["seconds"])) for size in (1, 2))
        apart = abs(teams[freeze][1]["loss"] / teams[freeze][2]["loss"] - 1)
        raced.append([freeze, one * 1e3, two * 1e3, f"{one / two:.2f}", f"{apart:.1e}"])
    told = record.table(
        ["learns", "way", "rows/s", "times the loop (least to most)", "losses differ by, most"], rows
    )
    wide, distinct = (np.median(next(iter(found.values()))[name]) for name in ("rows", "distinct"))
    told += f"A step has {wide:,.0f} rows and {distinct:,.0f} distinct texts.\n\n"
    told += record.table(
        [
            "learns",
            "1 process, ms a step",
            "2 processes, ms",
            "times as fast",
            f"loss after {WARM + TEAM_STEPS} steps differs by",
        ],
        raced,
    )
    record.write("quality-encoding", {"steps": found, "teams": teams}, protocol=PROTOCOL, told=told)


if __name__ == "__main__":
    member(sys.argv[1], Path(sys.argv[2]))
