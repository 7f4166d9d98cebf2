"""Requests to batches of tensors: padded candidates and histories, each distinct text once."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model_store.history import gap_buckets
from training.dataset import SPLITS, Dataset
from training.model.batch import Batch
from training.team import SOLO, Team

Ints = NDArray[np.int64]

POOL = 16  # batches among which lists are sorted by length
ALONE = 64  # labelled texts of each item or text task in a training step


class Batches:
    """Makes batches of one data set."""

    def __init__(self, dataset: Dataset) -> None:
        self._data = dataset
        self._hours = dataset.clock.bucket(dataset.histories.times, "hour")

    def epoch(self, size: int, generator: np.random.Generator, team: Team = SOLO) -> Iterator[Batch]:
        """Training requests in a new order, with a draw of the tasks that read one text; of each batch, our part.

        Lists of like length stand together, within a few batches at a time: little is computed for padding.
        """
        requests = generator.permutation(self._data.requests.of("train"))
        for start in range(0, len(requests), POOL * size):
            pool = self._by_length(requests[start : start + POOL * size])
            begins = generator.permutation(np.arange(0, len(pool), size))
            for begin in begins:
                drawn = {name: team.part(places) for name, places in self._draw(generator).items()}
                yield self.batch(team.part(pool[begin : begin + size]), drawn)

    def split(self, split: str, size: int) -> Iterator[tuple[Ints, Batch]]:
        """Requests of a split with their numbers, the shortest lists first; no texts alone."""
        requests = self._by_length(self._data.requests.of(split))
        for start in range(0, len(requests), size):
            chunk = requests[start : start + size]
            yield chunk, self.batch(chunk, {})

    def _by_length(self, requests: Ints) -> Ints:
        starts = self._data.requests.starts
        return requests[np.argsort(starts[requests + 1] - starts[requests], kind="stable")]

    def steps(self, size: int) -> int:
        """Batches in an epoch."""
        return -(-len(self._data.requests.of("train")) // size)

    def batch(self, requests: Ints, alone: dict[str, Ints]) -> Batch:
        """One batch of the given requests, texts of `alone` (task -> places in its labels) beside them."""
        data = self._data
        starts, stops = data.requests.starts[requests], data.requests.starts[requests + 1]
        rows, mask = _spans(starts, stops)
        history, told = self._told(requests)
        queries = data.requests.queries[requests]
        alone_texts = {name: data.alone[name].texts[places] for name, places in alone.items()}
        wanted = [data.rows[rows].ravel(), history.ravel(), np.maximum(queries, 0), *alone_texts.values()]
        texts, places = np.unique(np.concatenate(wanted), return_inverse=True)
        pieces = np.split(places, np.cumsum([len(part) for part in wanted])[:-1])
        labels = {name: _label(values[rows], mask) for name, values in data.labels.items()}
        labels |= {name: _tensor(values[requests]) for name, values in data.interests.items()}
        return Batch(
            texts=torch.from_numpy(texts),
            users=torch.from_numpy(data.requests.users[requests]),
            times=torch.from_numpy(data.requests.times[requests]),
            candidates=torch.from_numpy(pieces[0].reshape(rows.shape)),
            mask=torch.from_numpy(mask),
            history=torch.from_numpy(pieces[1].reshape(history.shape)),
            queries=torch.from_numpy(pieces[2]),
            query_mask=torch.from_numpy((queries >= 0).astype(np.float32)),
            context=torch.from_numpy(data.context[rows]),
            labels=labels,
            taught={name: _taught(told[rows], mask) for name, told in data.taught.items()},
            alone={
                name: (torch.from_numpy(piece), _tensor(data.alone[name].labels[alone[name]]))
                for name, piece in zip(alone, pieces[3:], strict=True)
            },
            **told,
        )

    def _told(self, requests: Ints) -> tuple[Ints, dict[str, Tensor]]:
        """Texts (B, L) of the histories, profile first, and the other inputs of the user encoder."""
        data = self._data
        bounds = data.requests.history[requests]
        places, mask = _spans(bounds[:, 0], bounds[:, 1])
        if not len(data.histories.items):
            places, mask = np.zeros((len(requests), 0), np.int64), np.zeros((len(requests), 0), np.float32)
        present = mask > 0
        times = np.where(present, data.histories.times[places], 0.0)
        profiles = np.append(data.profiles, -1)[data.requests.users[requests]]  # nobody is -1, the last one
        oldest = np.where(present.any(axis=1), times[:, 0] if times.shape[1] else 0.0, 0.0)
        times = np.concatenate([oldest[:, None], times], axis=1)
        newest = times.max(axis=1, keepdims=True)
        padded = np.pad(present, ((0, 0), (1, 0)), constant_values=True)
        hours = np.where(present, self._hours[places], 0)
        first_hour = data.clock.bucket(oldest, "hour")
        return np.concatenate([np.maximum(profiles, 0)[:, None], data.histories.items[places]], axis=1), {
            "events": torch.from_numpy(
                np.concatenate(
                    [np.zeros((len(requests), 1), np.int64), data.histories.events[places]], axis=1
                )
            ),
            "gaps": torch.from_numpy(gap_buckets(np.where(padded, times, newest))),
            "hours": torch.from_numpy(np.concatenate([first_hour[:, None], hours], axis=1)),
            "history_mask": torch.from_numpy(
                np.concatenate([(profiles >= 0)[:, None], present], axis=1).astype(np.float32)
            ),
        }

    def _draw(self, generator: np.random.Generator) -> dict[str, Ints]:
        drawn = {}
        for name, labels in self._data.alone.items():
            pool = np.flatnonzero(labels.splits == SPLITS["train"])
            if len(pool):
                drawn[name] = generator.choice(pool, size=min(ALONE, len(pool)), replace=False)
        return drawn


def _spans(starts: Ints, stops: Ints) -> tuple[Ints, NDArray[np.float32]]:
    """Padded row numbers (B, longest) of the spans, and their mask; padding repeats a valid row."""
    lengths = stops - starts
    steps = np.arange(max(int(lengths.max(initial=0)), 1))
    mask = steps < lengths[:, None]
    return np.where(mask, starts[:, None] + steps, np.minimum(starts, 0)[:, None]), mask.astype(np.float32)


def _label(values: NDArray[np.generic], mask: NDArray[np.float32]) -> Tensor:
    missing = -1 if values.dtype == np.int64 else np.nan
    return _tensor(np.where(mask > 0, values, missing))


def _taught(told: NDArray[np.float32], mask: NDArray[np.float32]) -> Tensor:
    return torch.from_numpy(np.where(mask[..., None] > 0, told, np.float32(np.nan)))


def _tensor(values: NDArray[np.generic]) -> Tensor:
    return torch.from_numpy(values if values.dtype == np.int64 else values.astype(np.float32))
