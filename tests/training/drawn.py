"""Heads whose every parameter matters, of every kind and type of task, drawn at random."""

import numpy as np
import torch

from model_store.manifest import Task
from tests.training import toy
from training.model.heads import KINDS, PairHeads
from training.model.readout import Readout
from training.task import TaskConfig

F, ROWS = 5, 30
SHARINGS = (
    {"sharing": "mmoe"}, {"sharing": "mmoe", "experts": 1}, {"sharing": "shared_bottom"}, {"sharing": "alone"},
    {"sharing": "ple", "experts": 2}, {"sharing": "ple", "experts": 1, "own_experts": 2}, {"projections": True},
    {"factors": 2}, {"factors": 2, "projections": True},
    {"sharing": "ple", "experts": 2, "levels": 2}, {"sharing": "ple", "experts": 1, "own_experts": 2, "levels": 3},
)  # fmt: skip
OWN = {"some": np.array([1, 3]), "all": np.arange(F), "none": np.arange(0)}
TASKS = tuple(
    Task(name=f"{kind}_{name}", type=type_, inputs=kind, classes=classes, quantiles=quantiles)
    for kind in reversed(KINDS)  # in another order than that of the columns
    for name, type_, classes, quantiles in (
        ("after", "binary", (), ()),
        ("stars", "regression", (), ()),
        ("grown", "regression", (), ()),
        ("classes", "multiclass", ("a", "b", "c"), ()),
        ("levels", "quantile", (), (0.1, 0.5, 0.9)),
        ("chance", "binary", (), ()),
        ("median", "quantile", (), (0.5,)),
        ("value", "regression", (), ()),
        ("other", "binary", (), ()),
    )
)


def made(tasks=TASKS, **model) -> tuple[PairHeads, Readout]:
    """Heads and a readout, calibrated, drawn at random."""
    torch.manual_seed(0)
    model = toy.settings(model={"experts": 3, **model}).model
    grown = {"grown": "log1p", "levels": "log1p"}
    told = {
        task.name: TaskConfig(
            type=task.type, label="any", inputs=task.inputs,
            transform=grown.get(task.name.rpartition("_")[2], "none"),
            **({"loss": "ordinal", "grades": (1.0, 2.0, 4.0)} if "stars" in task.name else {}),
            given=task.name.replace("after", "chance") if "after" in task.name else None,
        )
        for task in tasks
    }  # fmt: skip
    readout = Readout(tasks, told)
    heads = PairHeads(tasks, model, F, given=readout.given).eval()
    for raw in readout.raw.values():
        torch.nn.init.normal_(raw)
    for number, task in enumerate(tasks):
        scale, shift = 0.3 + 0.1 * number, 0.05 * number
        readout.set(task.name, scale, shift)
        if task.type in ("regression", "quantile"):
            readout.bound(task.name, -0.5, 5.0 + number)
        if task.type == "quantile":
            readout.begin(task.name, torch.linspace(-1, 1, task.width).tolist())
            readout.shift(task.name, (0.3 * torch.randn(task.width)).tolist())
    with torch.no_grad():
        for parameter in heads.parameters():
            parameter.normal_(std=0.3)
        heads.standardise(0.5 + 2.0 * torch.randn(50, F))
        heads.spread[0] = torch.inf  # a column that never varied
    return heads, readout


def unit(rows: int, width: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(rows, width), dim=-1)
