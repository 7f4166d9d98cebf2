"""What a trained network (or an exported encoder in its place) says about a split, as numpy arrays."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.batches import Batches
from training.dataset import SPLITS, Dataset
from training.model.network import Network
from training.texts import Texts

Array = NDArray[Any]
REQUESTS = 256  # in one batch of prediction


@dataclass(frozen=True)
class Represented:
    """Every text as the heads see it: vectors (T, d).

    For the tasks that read one text alone, logits and served values (n, w) of their labelled texts.
    """

    vectors: Tensor
    logits: dict[str, Array]
    values: dict[str, Array]


@dataclass(frozen=True)
class Predictions:
    """Answers about one split: online tasks (m, w) for candidate rows `rows` (m,), others (n, w), of users (R, w).

    users (R, d) are the user vectors of the requests `requests` (R,); logits are kept for calibration.
    """

    rows: NDArray[np.int64]
    requests: NDArray[np.int64]
    users: NDArray[np.float32]
    logits: dict[str, Array]
    values: dict[str, Array]


@torch.no_grad()
def represent(network: Network, dataset: Dataset, texts: Texts, split: str | None = None) -> Represented:
    """By the network itself; if only a split is wanted, the texts that nothing of it reads are not encoded."""
    network.eval()
    pooled = texts.all() if split is None else texts.some(_read(dataset, split))
    logits = {
        name: network.text_heads(name, pooled[torch.from_numpy(labels.texts)]).numpy()
        for name, labels in dataset.alone.items()
    }
    values = {name: served(network, name, array) for name, array in logits.items()}
    return Represented(network.vectors(torch.arange(len(pooled)), pooled), logits, values)


@torch.no_grad()
def predict(network: Network, dataset: Dataset, represented: Represented, split: str) -> Predictions:
    """Logits and served values of every task for one split."""
    network.eval()
    rows, requests, users, parts, wants = [], [], [], [], []
    for chunk, batch in Batches(dataset).split(split, REQUESTS):
        vectors = represented.vectors[batch.texts]
        user = network.users(batch, vectors)
        query = vectors[batch.queries] * batch.query_mask.unsqueeze(-1)
        found = network.heads(user, query, vectors[batch.candidates], batch.context)
        real = batch.mask > 0
        parts.append({name: logit[real] for name, logit in found.items()})
        wants.append(network.interests(user))
        rows.append(_rows(dataset, chunk))
        requests.append(chunk)
        users.append(user.numpy())
    order = np.argsort(np.concatenate(rows), kind="stable")  # back from the order of lengths
    logits: dict[str, Array] = {
        name: torch.cat([part[name] for part in parts]).numpy()[order] for name in parts[0]
    }
    numbers = np.argsort(np.concatenate(requests))
    logits |= {name: torch.cat([part[name] for part in wants]).numpy()[numbers] for name in wants[0]}
    values = {name: served(network, name, array) for name, array in logits.items()}
    for name in dataset.alone:
        here = _alone(dataset, name, split)
        logits[name], values[name] = represented.logits[name][here], represented.values[name][here]
    return Predictions(
        rows=np.concatenate(rows)[order],
        requests=np.concatenate(requests)[numbers],
        users=np.concatenate(users)[numbers],
        logits=logits,
        values=values,
    )


def sought(
    dataset: Dataset, represented: Represented, predictions: Predictions, fetched: tuple[float, float]
) -> NDArray[np.float32]:
    """What the requests of a split look for in the catalogue, (R, d): so much of the user, so much of the query."""
    queries = dataset.requests.queries[predictions.requests]
    asked = np.where(queries[:, None] >= 0, represented.vectors.numpy()[queries], np.float32(0.0))
    return (fetched[0] * predictions.users + fetched[1] * asked).astype(np.float32)


@torch.no_grad()
def served(network: Network, name: str, logits: Array) -> Array:
    """Logits (n, w) of a task as it is served: probabilities or natural units."""
    values: Array = network.readout(name, torch.from_numpy(logits)).numpy()
    return values


def labels_of(dataset: Dataset, predictions: Predictions, name: str, split: str) -> Array:
    """The labels beside the predictions of a task."""
    if name in dataset.alone:
        return dataset.alone[name].labels[_alone(dataset, name, split)]
    if name in dataset.interests:
        return dataset.interests[name][predictions.requests]
    return dataset.labels[name][predictions.rows]


def known(labels: Array) -> NDArray[np.bool_]:
    """Which labels (n,) or (n, C) are there: not NaN, not -1."""
    if labels.ndim > 1:
        return np.asarray(~np.isnan(labels).any(axis=1))
    return labels >= 0 if labels.dtype == np.int64 else ~np.isnan(labels)


def _read(dataset: Dataset, split: str) -> NDArray[np.int64]:
    """Numbers of the texts that `predict` reads of a split."""
    parts = [batch.texts.numpy() for _, batch in Batches(dataset).split(split, REQUESTS)]
    parts += [labels.texts[_alone(dataset, name, split)] for name, labels in dataset.alone.items()]
    return np.unique(np.concatenate(parts))


def _alone(dataset: Dataset, name: str, split: str) -> NDArray[np.int64]:
    return np.flatnonzero(dataset.alone[name].splits == SPLITS[split])


def _rows(dataset: Dataset, requests: NDArray[np.int64]) -> NDArray[np.int64]:
    spans = zip(dataset.requests.starts[requests], dataset.requests.starts[requests + 1], strict=True)
    return np.concatenate([np.arange(start, stop) for start, stop in spans])
