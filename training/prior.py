"""What a data set says of its items and events before anything is learned: where factors and audiences begin."""

import numpy as np
import torch
from torch import Tensor

from training.dataset import TEST, VALIDATION, Dataset
from training.model.audience import Events
from training.model.factors import biases as begun
from training.model.factors import spreads
from training.predict import known


def biases(dataset: Dataset) -> Tensor:
    """Of the items, in units of the logit of the first main task that is a number or a chance; zeros without one."""
    size = len(dataset.item_ids)
    tasks = [task for task in dataset.tasks if task.online and task.type in ("binary", "regression")]
    for task in sorted(tasks, key=lambda task: not task.main):
        rows = dataset.select("train")
        rows = rows[known(dataset.labels[task.name][rows])]
        if len(rows):
            users = dataset.requests.users[dataset.requests.owners[rows]] + 1  # nobody is one, too
            labels = torch.from_numpy(dataset.labels[task.name][rows].astype("float32"))
            if dataset.config.tasks[task.name].transform == "log1p":
                labels = torch.log1p(labels)
            spread = labels.var(correction=0) if task.type == "binary" else labels.std(correction=0)
            told = (labels - labels.mean()) / spread.clamp(min=1e-6)
            return begun(torch.from_numpy(users), torch.from_numpy(dataset.rows[rows]), told, size)
    return torch.zeros(size)


def grades(dataset: Dataset) -> Tensor:
    """Of the events, as training reads them."""
    events, read = dataset.config.history.graded, dataset.requests.history[dataset.requests.of("train")]
    return spreads(events, torch.from_numpy(dataset.histories.often(read, 1 + len(events))))


def events(dataset: Dataset) -> Events:
    """What users did before the first request that is held out, by time."""
    told, requests = dataset.histories, dataset.requests
    users = np.repeat(np.arange(len(dataset.user_ids)), np.diff(told.starts))
    held = requests.times[np.isin(requests.splits, (VALIDATION, TEST))].min(initial=np.inf)
    kept = np.flatnonzero(told.times[: len(users)] < held)  # behind them are requests' own
    return Events(users[kept], told.items[kept], told.events[kept], told.times[kept])
