"""How the tasks use their experts: what their gates let through on a part of the data."""

from typing import Any

import numpy as np
import torch

from training.batches import Batches
from training.dataset import Dataset
from training.model.network import Network
from training.predict import REQUESTS, Represented

Usage = dict[str, dict[str, Any]]


@torch.no_grad()
def usage(network: Network, dataset: Dataset, represented: Represented, split: str) -> Usage:
    """Task -> `experts`, the mean share of each expert, and `entropy`, the mean one as a part of the greatest.

    Experts stand as in the network: those of all, then those of each task. The share of one that a task does not see
    is 0. Where experts stand in levels, a task has one record a level: `click, level 1`. Nothing where there are no
    gates.
    """
    network.eval()
    mix = network.heads.mix
    if not mix.gated:
        return {}
    levels = 1 + len(mix.levels)
    shares = {name: np.zeros((levels, mix.choices)) for name in mix.names}
    entropies, rows = {name: np.zeros(levels) for name in mix.names}, 0
    for _, batch in Batches(dataset).split(split, REQUESTS):
        vectors, real = represented.vectors[batch.texts], batch.mask > 0
        query = vectors[batch.queries] * batch.query_mask.unsqueeze(-1)
        user = network.users(batch, vectors)
        rows += int(real.sum())
        for name, gates in network.heads.gates(user, query, vectors[batch.candidates], batch.context).items():
            for level, gate in enumerate(gates):
                found = gate[real].double().numpy()
                shares[name][level] += found.sum(axis=0)
                entropies[name][level] -= float((found * np.log(np.maximum(found, 1e-12))).sum())
    told = {}
    for name in mix.names:
        place = np.eye(mix.experts)[mix.seen[name]]
        for level in range(levels):
            told[f"{name}, level {level + 1}" if levels > 1 else name] = {
                "experts": (place.T @ (shares[name][level] / rows)).round(6).tolist(),
                "entropy": round(entropies[name][level] / rows / np.log(mix.choices), 6),
            }
    return told
