"""What renewing a run is worth, beside learning everything anew: the shop and EB-NeRD.

    python -m benchmarks.quality renewal [--data shop,ebnerd] [--seeds 7,8,9]

A seed that was computed stays in runs/renewal/; delete it there to compute it again.
"""

import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import tomlkit
import typer
from rich.progress import Progress

from benchmarks import fitted, record
from benchmarks.quality.joint import command, prepare
from training import pipeline
from training.config import Config
from training.dataset import BEFORE, TEST, Dataset
from training.evaluate import Table, headline, measure
from training.heritage import Heritage
from training.pipeline import Workbench
from training.predict import predict, represent
from training.run import Run

FOLDER = Path("runs/renewal")
SHARES = {"checked": 0.6125, "new": 0.7, "judged": 0.84, "held": 0.88}  # of the requests, before each cut


class How(NamedTuple):
    """How a row learns: whether it goes on, and what share of the loss is by what the earlier run says."""

    on: bool = False
    remember: float = 0.0


EARLIER = "earlier"
ROWS = {
    EARLIER: How(), "all anew": How(), "new rows anew": How(), "renewed": How(on=True),
    "renewed, remembers 0.3": How(on=True, remember=0.3), "renewed, remembers 0.6": How(on=True, remember=0.6),
}  # fmt: skip
PROTOCOL = (
    "Shipped configurations by time; frozen MiniLM. The earlier run has learned from the oldest 61 % of all lists, "
    "the 9 % after them being its validation. The newest 12 % are the test, 4 % before them validation, and the 14 % "
    "between are new. All rows know the same histories and counts. Anew: first weights drawn by lot, from all lists "
    "before validation, or from the new ones alone. Renewed: as `chorus-train renew` does, from the new ones alone, "
    "with `training.remember` 0, 0.3 or 0.6. Past: what each says of the earlier run's validation part, which of all "
    "rows only `all anew` has learned from: what is forgotten shows there. Seconds: CPU time on one thread of "
    "training and validation. Settings are as shipped in all rows; nothing was chosen on the test part."
)


def main(
    data: Annotated[str, typer.Option(help="Separated by commas.")] = "shop,ebnerd",
    seeds: Annotated[str, typer.Option(help="Separated by commas.")] = "7,8,9",
) -> None:
    """Train each seed of each data set, test, and write the table."""
    for name in data.split(","):
        if not Path("data", name).is_dir():
            command("chorus-train", *prepare(name))
    for found in fitted.crossed(FOLDER, data, seeds, compute):
        write(found)


def compute(job: tuple[str, int]) -> None:
    """All rows of one data set with one seed."""
    name, seed = job
    moments = cut(fitted.read(configured(name, seed)))
    folder, written = FOLDER / f"{name}-{seed}", {key: iso(moment) for key, moment in moments.items()}
    earlier = {"validation_from": written["checked"], "test_from": written["new"]}
    later = {"validation_from": written["judged"], "test_from": written["held"]}
    first = fitted.read(configured(name, seed, split=earlier))
    _, seconds = trained(first, folder / "earlier")
    before = Run(folder / "earlier")
    found: dict[str, Any] = {}
    for row, how in ROWS.items():
        split = later if row == "all anew" else later | {"train_from": written["new"]}
        dataset = fitted.read(configured(name, seed, split=split, remember=how.remember))
        if row == EARLIER:
            bench, rows = handed(dataset, before), len(first.select("train"))
        else:
            bench, seconds = trained(dataset, folder / row, before if how.on else None)
            rows = len(dataset.select("train"))
        past = within(dataset, moments["checked"], moments["new"])
        found[row] = {"test": tested(bench, dataset), "past": tested(bench, past)}
        found[row] |= {"seconds": round(seconds, 1), "rows": rows}
    headlines = {task.name: headline(task, found[EARLIER]["test"][task.name]) for task in first.tasks}
    fitted.keep(FOLDER, f"{name}-{seed}", {"headlines": headlines, "rows": found})


def cut(dataset: Dataset) -> dict[str, float]:
    """The moments at which a log is cut, by the shares of its requests before them."""
    times = dataset.requests.times
    return {name: float(np.quantile(times, share)) for name, share in SHARES.items()}


def iso(moment: float) -> str:
    """As configurations write it."""
    return datetime.fromtimestamp(moment, UTC).isoformat()


def configured(name: str, seed: int, *, split: dict[str, str] | None = None, remember: float = 0.0) -> Config:
    """The shipped configuration, cut otherwise."""
    config = Path("data", name, f"{name}.toml")
    dates = dict.fromkeys(("train_from", "validation_from", "test_from")) | (split or {})
    return fitted.changed(config, split=dates, training={"seed": seed, "remember": remember})


def within(dataset: Dataset, begin: float, end: float) -> Dataset:
    """With the requests of a time for its test part, and no other."""
    requests = dataset.requests
    splits = np.where((requests.times >= begin) & (requests.times < end), TEST, BEFORE)
    return replace(dataset, requests=replace(requests, splits=splits))


def trained(dataset: Dataset, folder: Path, earlier: Run | None = None) -> tuple[Workbench, float]:
    """A network that learned, from the start or from a run; and its seconds of CPU time."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(tomlkit.dumps(written(dataset.config)))
    (folder / "origin").write_text("")
    if earlier:
        (folder / "earlier").mkdir()
        for name, file in earlier.handed.items():
            shutil.copyfile(file, folder / "earlier" / name)
    with Progress(disable=True) as progress:
        bench = pipeline.bench(dataset, fitted.CACHE, progress, [])
        began = time.process_time()
        pipeline.train(bench, Run(folder), progress)
    return bench, time.process_time() - began


def written(config: Config) -> dict[str, Any]:
    """A configuration as a file has it."""
    return config.model_dump(mode="json", exclude={"folder"}, exclude_unset=True, exclude_none=True)


def handed(dataset: Dataset, earlier: Run) -> Workbench:
    """The earlier run's network on other tables, as it was served."""
    with Progress(disable=True) as progress:
        bench = pipeline.bench(dataset, fitted.CACHE, progress, [])
    Heritage(earlier.handed).hand(bench.network, dataset, served=True)
    return bench


def tested(bench: Workbench, dataset: Dataset) -> Table:
    """What it says of the test part of a data set with the same columns."""
    represented = represent(bench.network, dataset, bench.texts)
    return measure(dataset, predict(bench.network, dataset, represented, "test"), "test")


def of(seeds: int) -> str:
    """What the numbers of a table are."""
    return "One seed." if seeds == 1 else f"Mean ± standard deviation of {seeds} seeds."


def write(found: dict[str, Any]) -> None:
    """A table a data set: what each row gains over `all anew`, on the test part and on the past."""
    told = []
    for data in dict.fromkeys(key.rpartition("-")[0] for key in found):
        seeds = [each for key, each in found.items() if key.rpartition("-")[0] == data]
        metrics = seeds[0]["headlines"]
        heads = [
            "row",
            *(f"{task}, {metric}" for task, metric in metrics.items()),
            "past: main task",
            "rows",
            "seconds",
        ]
        main = next(iter(metrics))
        rows = []
        for row in ROWS:
            each = [seed["rows"][row] for seed in seeds]
            cells = [
                fitted.spread([one["test"][task][metric] for one in each]) for task, metric in metrics.items()
            ]
            cells.append(fitted.spread([one["past"][main][metrics[main]] for one in each]))
            rows.append(
                [row, *cells, f"{each[0]['rows']:,}", f"{np.median([one['seconds'] for one in each]):.0f}"]
            )
        told.append(f"## {data}\n\n{record.table(heads, rows)}{of(len(seeds))}\n")
    record.write("quality-renewal", {"seeds": found}, protocol=PROTOCOL, told="\n".join(told))
