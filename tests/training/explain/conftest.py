"""A network that has learned from the toy log what the stock, told just before, decides."""

import copy
from collections.abc import Callable

import numpy as np
import pytest
import torch
from rich.progress import Progress

from tests.training import toy
from training import pipeline
from training.fit import fit
from training.model.network import Network
from training.pipeline import Workbench
from training.run import Run

FEATURES = ["hour", "history_size", "item_age", "latest:stock", "list:latest:stock", "count:click:7d"]


@pytest.fixture(scope="session")
def stocked(bert, tmp_path_factory: pytest.TempPathFactory, progress: Progress) -> Workbench:
    """Trained on lists whose clicks are the items with much in stock, and nothing else."""
    random, stock, rows = np.random.default_rng(0), dict.fromkeys(range(toy.ITEMS), 0.0), []
    for number in range(400):
        moment = toy.START + number * 2_000.0
        for item in random.choice(toy.ITEMS, 4, replace=False):
            clicked, told = float(stock[item] > 0.5), float(random.random())
            rows.append(
                {"user": f"u{number % 5}", "item": f"i{item}", "time": moment, "impression": f"imp{number}",
                 "events": ["click"] if clicked else [], "click": clicked, "number:stock": told}
            )  # fmt: skip
            stock[item] = told
    settings = toy.settings(
        events={"numbers": ["stock"], "query": None},
        features={"use": FEATURES, "windows": ["7d"]},
        tasks={"click": {"type": "binary", "label": "clicked", "main": True}},
        model={"encoder": str(bert)},
        training={"epochs": 6, "lr_heads": 2e-2, "patience": 9},
    )
    folder = tmp_path_factory.mktemp("stocked")
    bench = pipeline.bench(toy.build(rows, settings), folder / "cache", progress, [])
    (folder / "run").mkdir()
    fit(bench.network, bench.dataset, bench.texts, Run(folder / "run"), progress)
    return bench


@pytest.fixture(scope="session")
def blinded() -> Callable[[Workbench, list[int]], Network]:
    """A copy of a bench's network that ignores columns of the context."""

    def blind(bench: Workbench, columns: list[int]) -> Network:
        network = copy.deepcopy(bench.network)
        width = bench.dataset.context.shape[1]
        with torch.no_grad():
            for name, layer in network.heads.named_modules():
                if isinstance(layer, torch.nn.Linear) and layer.in_features == width:
                    assert name.startswith(("context", "now")), name
                    layer.weight[:, columns] = 0.0
        return network

    return blind
