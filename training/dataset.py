"""A data set as arrays: requests with their candidates, histories strictly before, context, labels, splits.

Texts are numbered once: the items' first, by row, then queries, profiles and the texts of events.
A request is one impression, or one event that belongs to none; its candidates lie side by side in `rows`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.clock import Clock
from model_store.items import Attribute
from model_store.manifest import Features, Task
from model_store.words import Wording
from training.config import Config
from training.labels import Labels
from training.replay import Lists, Log, Series

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

BEFORE, TRAIN, VALIDATION, TEST = -1, 0, 1, 2  # what is before is known, and nothing is learned from it
SPLITS = {"train": TRAIN, "validation": VALIDATION, "test": TEST}


@dataclass(frozen=True)
class Histories:
    """All users' events, by user and then time: items (E,), events (E,), times (E,), starts (U + 1,)."""

    items: Ints
    events: Ints
    times: Floats
    starts: Ints

    def before(self, users: Ints, times: Floats, limit: int) -> Ints:
        """Bounds (R, 2) of the newest `limit` events strictly before each time; empty for user -1."""
        owners = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        stops = Series.of(owners, self.times, len(self.starts) - 1).before(users, times)
        starts = np.maximum(self.starts[np.maximum(users, 0)], stops - limit)
        bounds = np.stack([np.minimum(starts, stops), stops], axis=1)
        bounds[users < 0] = 0
        return bounds.astype(np.int64)

    def often(self, bounds: Ints, kinds: int) -> Ints:
        """How often requests with these bounds (R, 2) read an event of each kind, (kinds,)."""
        readers = np.zeros(len(self.events) + 1, dtype=np.int64)
        np.add.at(readers, bounds[:, 0], 1)
        np.add.at(readers, bounds[:, 1], -1)
        return np.bincount(self.events, weights=np.cumsum(readers)[:-1], minlength=kinds).astype(np.int64)


@dataclass(frozen=True)
class Requests:
    """R requests: users, queries (text number, -1 for none), times, candidates `starts[r]:starts[r + 1]`."""

    users: Ints
    queries: Ints
    times: Floats
    starts: Ints
    splits: Ints
    history: Ints  # (R, 2) bounds in Histories

    def __len__(self) -> int:
        return len(self.users)

    @cached_property
    def owners(self) -> Ints:
        """Request number of every candidate row."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    def of(self, split: str) -> Ints:
        """Numbers of the requests of a split."""
        return np.flatnonzero(self.splits == SPLITS[split])


@dataclass(frozen=True)
class Dataset:
    """Everything that training, evaluation and export read; nothing is computed from the future."""

    config: Config
    tasks: tuple[Task, ...]
    texts: list[str]
    item_ids: tuple[str, ...]
    published: Floats
    attributes: dict[str, Attribute]
    user_ids: tuple[str, ...]
    profiles: Ints  # (U,) text number, -1 for none
    records: dict[str, dict[str, Any]]  # user -> the columns that make the profile
    histories: Histories
    requests: Requests
    rows: Ints  # (M,) item of every candidate
    features: Features
    numbers: dict[str, Floats]  # of items, (N,), NaN where missing
    words: dict[str, Ints]  # of requests, (R,) places in the known words, -1 for another
    wording: Wording | None  # of the items, where a feature asks for it
    log: Log
    lists: Lists | None  # what was shown to users, where a feature asks for it
    context: NDArray[np.float32]  # (M, F)
    labels: dict[str, NDArray[np.generic]]  # online tasks: (M,), NaN or -1 where missing
    alone: dict[str, Labels] = field(default_factory=dict)  # item and text tasks
    interests: dict[str, Floats] = field(
        default_factory=dict
    )  # user tasks: (R, C), NaN where nothing was wanted
    taught: dict[str, NDArray[np.float32]] = field(
        default_factory=dict
    )  # online tasks: logits (M, w) of networks that learned them alone, NaN outside of training
    own: Floats | None = (
        None  # (M, E, W) events of each candidate row itself that the log holds, see chance.py
    )

    @property
    def clock(self) -> Clock:
        """The users' local time."""
        return Clock(self.config.features.timezone)

    @property
    def end(self) -> float:
        """Time of the newest thing that is known, counted or not: unix seconds."""
        newest = (float(times.max(initial=0.0)) for times in (self.histories.times, self.requests.times))
        return max(self.log.end, *newest)

    @property
    def facts(self) -> dict[str, Any]:
        """Counts that describe the data."""
        sizes = {name: len(self.requests.of(name)) for name in SPLITS}
        rows = {name: len(self.select(name)) for name in SPLITS}
        return {"items": len(self.item_ids), "users": len(self.user_ids), "texts": len(self.texts),
                "requests": sizes, "rows": rows, "history_events": len(self.histories.items)}  # fmt: skip

    @cached_property
    def mark(self) -> str:
        """One for the same requests, candidates, labels and texts, another for any others."""
        requests = self.requests
        told = blake2b("\0".join(self.texts).encode(errors="surrogatepass"), digest_size=8)
        for each in (requests.users, requests.times, requests.starts, requests.splits, self.rows):
            told.update(each.tobytes())
        for name, labels in self.labels.items():
            told.update(name.encode())
            told.update(labels.tobytes())
        return told.hexdigest()

    def select(self, split: str) -> Ints:
        """Candidate rows of a split."""
        return np.flatnonzero(self.requests.splits[self.requests.owners] == SPLITS[split])

    def cut(self, numbers: Ints, rows: Sequence[Ints]) -> "Dataset":
        """The data set of these requests only, with these of their candidate rows; no context yet."""
        kept, requests = np.concatenate(rows), self.requests
        cut = Requests(
            users=requests.users[numbers], queries=requests.queries[numbers], times=requests.times[numbers],
            starts=np.cumsum([0, *map(len, rows)]), splits=requests.splits[numbers],
            history=requests.history[numbers],
        )  # fmt: skip
        return replace(
            self,
            requests=cut,
            rows=self.rows[kept],
            words={column: codes[numbers] for column, codes in self.words.items()},
            context=np.zeros((0, 0), dtype=np.float32),
            labels={name: labels[kept] for name, labels in self.labels.items()},
            interests={name: labels[numbers] for name, labels in self.interests.items()},
            taught={name: told[kept] for name, told in self.taught.items()},
            own=None if self.own is None else self.own[kept],
        )
