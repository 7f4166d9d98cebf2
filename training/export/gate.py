"""What the gate judges int8 or fp16 by: every text that is needed, encoded by the graph that would be served.

Each is encoded alone and unpadded.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress

from model_store.engine import Encoded, Engine, cores
from training.dataset import TRAIN, Dataset
from training.export.verdict import alike
from training.pipeline import Workbench
from training.predict import Represented

SAMPLE = 256  # texts whose vectors are compared


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
    """Served values of the labelled texts by the engine; what is not held out is not encoded, and stays."""
    found = {}
    for name, labels in dataset.alone.items():
        values = base.values[name].copy()
        for row, (number, split) in enumerate(zip(labels.texts, labels.splits, strict=True)):
            if split > TRAIN:
                values[row] = place[int(number)].outputs[name]
        found[name] = values
    return found


def needed(dataset: Dataset) -> NDArray[np.int64]:
    """Numbers of the texts that validation, test and the catalogue need."""
    requests = dataset.requests
    later = requests.splits > TRAIN
    users = requests.users[later]
    parts = [np.arange(len(dataset.item_ids)), requests.queries[later], dataset.profiles[users[users >= 0]]]
    parts += [labels.texts[labels.splits > TRAIN] for labels in dataset.alone.values()]
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


def alikeness(small: Engine, whole: Engine, bench: Workbench) -> dict[str, float]:
    """How near the vectors of an int8 or fp16 engine are to those of the fp32 one, on texts that both would serve."""
    wanted = needed(bench.dataset)
    places = np.unique(np.linspace(0, len(wanted) - 1, SAMPLE).round().astype(int))
    tokens = [bench.texts.tokens(int(wanted[place])) for place in places]
    return alike(*(np.stack([engine.tokens(ids).vector for ids in tokens]) for engine in (small, whole)))
