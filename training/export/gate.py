"""The gate: the encoder in int8 or fp16 ships only if no task loses more than 0.5 % by its headline metric.

Every text that validation needs is encoded by the graph itself, alone and unpadded, as the service will.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress

from model_store.engine import Encoded, Engine, cores
from model_store.manifest import Precision
from training.dataset import Dataset
from training.evaluate import Table, headline, losses
from training.pipeline import Workbench
from training.predict import Represented

LIMIT = 0.005  # relative loss of the headline metric


def represent_by(
    engine: Engine, bench: Workbench, base: Represented, progress: Progress
) -> tuple[Represented, list[Encoded]]:
    """`base` with everything outside of training encoded by the engine instead; and the items' encodings."""
    dataset = bench.dataset
    wanted = needed(dataset)
    encoded = encode(engine, [bench.texts.tokens(int(number)) for number in wanted], progress)
    vectors = base.vectors.clone()
    spoken = torch.from_numpy(np.stack([one.vector for one in encoded]))
    with torch.no_grad():
        vectors[torch.from_numpy(wanted)] = bench.network.located(torch.from_numpy(wanted), spoken)
    place = {int(number): one for number, one in zip(wanted, encoded, strict=True)}
    items = [place[number] for number in range(len(dataset.item_ids))]
    return Represented(vectors, base.logits, _alone(dataset, base, place)), items


def _alone(dataset: Dataset, base: Represented, place: dict[int, Encoded]) -> dict[str, NDArray[Any]]:
    """Served values of the labelled texts by the engine; the training part is not encoded and stays."""
    found = {}
    for name, labels in dataset.alone.items():
        values = base.values[name].copy()
        for row, (number, split) in enumerate(zip(labels.texts, labels.splits, strict=True)):
            if split != 0:
                values[row] = place[int(number)].outputs[name]
        found[name] = values
    return found


def needed(dataset: Dataset) -> NDArray[np.int64]:
    """Numbers of the texts that validation, test and the catalogue need."""
    requests = dataset.requests
    later = requests.splits > 0
    users = requests.users[later]
    parts = [np.arange(len(dataset.item_ids)), requests.queries[later], dataset.profiles[users[users >= 0]]]
    parts += [labels.texts[labels.splits > 0] for labels in dataset.alone.values()]
    numbers = np.unique(np.concatenate(parts))
    return numbers[numbers >= 0]


def encode(engine: Engine, tokens: list[NDArray[np.int64]], progress: Progress) -> list[Encoded]:
    """Encode texts by their tokens, one run a core."""
    bar = progress.add_task(f"encode by ONNX ({engine.manifest.precision})", total=len(tokens))
    found = []
    with ThreadPoolExecutor(cores()) as pool:
        for one in pool.map(engine.tokens, tokens, chunksize=16):
            found.append(one)
            progress.advance(bar)
    return found


def judge(dataset: Dataset, fp32: Table, small: Table, precision: Precision = "int8") -> dict[str, Any]:
    """The gate's verdict on a precision: per task both values, the relative loss, and whether it may ship."""
    tasks: dict[str, dict[str, Any]] = {}
    for task in dataset.tasks:
        before, after = fp32[task.name], small[task.name]
        name = headline(task, before)
        lost = 0.0 if np.isnan(before[name]) else losses(task, before, after)  # undefined on so few rows
        tasks[task.name] = {"metric": name, "fp32": before[name], precision: after[name], "loss": lost}
    worst = max(tasks, key=lambda name: np.nan_to_num(tasks[name]["loss"], nan=np.inf))
    passed = all(entry["loss"] <= LIMIT for entry in tasks.values())
    reason = (
        f"{worst} loses {tasks[worst]['loss']:.2%} of its {tasks[worst]['metric']}, the limit is {LIMIT:.1%}"
    )
    return {"passed": passed, "limit": LIMIT, "worst": worst, "reason": reason, "tasks": tasks}
