"""Whether chances are true: the error of calibration before and after, and once texts are encoded in int8.

    python -m benchmarks.quality calibration [--data shop,ebnerd] [--seeds 7,8,9]

Asks the joint networks of `python -m benchmarks.quality sharing`, and fits those that are not there. What was
measured stays in runs/calibration/; delete it there to measure it again.
"""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.progress import Progress

from benchmarks import fitted, record
from benchmarks.quality import sharing
from model_store.engine import Engine
from model_store.features import FeatureSet
from model_store.manifest import text_encoder
from training.dataset import Dataset
from training.evaluate import Table, measure
from training.export import gate, graphs
from training.export.publish import Draft, manifest, sample
from training.export.quantise import quantise
from training.pipeline import Workbench
from training.predict import Represented, predict, represent
from training.run import Run

FOLDER = Path("runs/calibration")
STAGES = ("before", "after", "after, int8")
KINDS = ("binary", "multiclass")
LIMIT = 0.02
PROTOCOL = (
    "The joint networks of quality-sharing (`mmoe, fixed`). Calibration is fitted to the validation part, which is "
    "later than what was learned from: Platt scaling of binary heads, one temperature of multiclass ones. Errors are "
    "of the test part, which is later still. ECE: 15 bins of equal width; of classes that of the most probable one. "
    "int8: the texts of the test part encoded by the exported int8 graph, one by one, with the calibration fitted to "
    "fp32; heads are fp32 in what is served. Before, with the demo itself and at half of the rate, clicks were off "
    "by 0.010 in the shop and 0.007 on EB-NeRD."
)


def main(
    data: Annotated[str, typer.Option(help="Separated by commas.")] = "shop,ebnerd",
    seeds: Annotated[str, typer.Option(help="Separated by commas.")] = "7,8,9",
) -> None:
    """Measure what is missing, and write the table of what is there."""
    for found in fitted.crossed(FOLDER, data, seeds, compute):
        write(found)


def compute(job: tuple[str, int]) -> None:
    """The errors of one network's heads, into its file."""
    name, seed = job
    sharing.fill(name, seed, sharing.DEFAULT)
    bench = sharing.opened(name, seed, sharing.DEFAULT)
    run = Run(sharing.place(name, seed, sharing.DEFAULT))
    base = represent(bench.network, bench.dataset, bench.texts)
    after, small = judged(bench, base), judged(bench, quantised(bench, run, base))
    for task in bench.dataset.tasks:
        if task.type in KINDS:
            bench.network.readout.set(task.name, 1.0, 0.0)
    before = judged(bench, represent(bench.network, bench.dataset, bench.texts))
    fitted.keep(FOLDER, f"{name}-{seed}", dict(zip(STAGES, (before, after, small), strict=True)))


def judged(bench: Workbench, represented: Represented) -> Table:
    """Metrics of the test part for the heads that tell chances."""
    found = measure(bench.dataset, predict(bench.network, bench.dataset, represented, "test"), "test")
    return {task.name: found[task.name] for task in bench.dataset.tasks if task.type in KINDS}


def quantised(bench: Workbench, run: Run, base: Represented) -> Represented:
    """`base` with the texts of the test part encoded by the int8 graph."""
    numbers = needed(bench.dataset)
    with tempfile.TemporaryDirectory() as folder, Progress(disable=True) as progress:
        engine = Engine(exported(bench, run, Path(folder)).open("int8"), "cpu")
        encoded = gate.encode(engine, [bench.texts.tokens(number) for number in numbers.tolist()], progress)
    vectors, places = base.vectors.clone(), torch.from_numpy(numbers)
    with torch.no_grad():
        vectors[places] = bench.network.located(
            places, torch.from_numpy(np.stack([one.vector for one in encoded]))
        )
    return replace(
        base, vectors=vectors, values=values(bench.dataset, base, dict(zip(numbers, encoded, strict=True)))
    )


def exported(bench: Workbench, run: Run, folder: Path) -> Draft:
    """The graphs of a network, as far as texts need them."""
    dataset = bench.dataset
    graphs.export(bench.network, folder, FeatureSet(dataset.features, dataset.clock))
    fp32, int8 = (folder / text_encoder(precision) for precision in ("fp32", "int8"))
    quantise(fp32, int8, sample(bench.texts), longest=dataset.config.model.max_tokens)
    bench.tokenizer.save(folder / "tokenizer.json")
    return Draft(folder, manifest(bench, run, dataset.end))


def values(dataset: Dataset, base: Represented, encoded: dict[int, Any]) -> dict[str, NDArray[Any]]:
    """What the tasks that read one text say of those that were encoded."""
    found = {}
    for name, labels in dataset.alone.items():
        found[name] = base.values[name].copy()
        for row in np.flatnonzero(labels.splits == 2):
            found[name][row] = encoded[labels.texts[row]].outputs[name]
    return found


def needed(dataset: Dataset) -> NDArray[np.int64]:
    """Numbers of the texts that the test part reads."""
    requests = dataset.requests
    asked = requests.of("test")
    users = requests.users[asked]
    bounds = requests.history[asked]
    read = np.zeros(len(dataset.histories.items) + 1, dtype=np.int64)
    np.add.at(read, bounds[:, 0], 1)
    np.add.at(read, bounds[:, 1], -1)
    parts = [dataset.rows[dataset.select("test")], dataset.histories.items[np.cumsum(read)[:-1] > 0]]
    parts += [requests.queries[asked], dataset.profiles[users[users >= 0]]]
    parts += [labels.texts[labels.splits == 2] for labels in dataset.alone.values()]
    numbers = np.unique(np.concatenate(parts))
    return numbers[numbers >= 0]


def write(found: dict[str, Any]) -> None:
    """The table of these networks."""
    names = list(dict.fromkeys(key.partition("-")[0] for key in found))
    rows = []
    for name in names:
        seeds = [each for key, each in found.items() if key.startswith(f"{name}-")]
        for task in seeds[0]["before"]:
            errors = [[each[stage][task]["ece"] for each in seeds] for stage in STAGES]
            lost = [[each[stage][task]["log_loss"] for each in seeds] for stage in STAGES]
            worst = max(errors[-1])
            rows.append(
                [name, task, *map(fitted.spread, errors), *map(fitted.spread, lost[:2]), f"{worst:.4f}"]
            )
    told = f"Networks: {', '.join(found)}; mean ± standard deviation where there are several.\n\n"
    heads = [
        "data",
        "head",
        *(f"ECE {stage}" for stage in STAGES),
        "log loss before",
        "after",
        "worst seed, int8",
    ]
    record.write(
        "quality-calibration", {"networks": found}, protocol=PROTOCOL, told=told + record.table(heads, rows)
    )
