"""What one user is told over a day: the same items, asked for at every hour of it, as of the log then.

The user is picked for showing it: of some users of the validation part with long histories, the one whose answers
change most. A change is how far an item's place in the list wanders, as the standard deviation over the hours.
"""

from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, time, timedelta
from textwrap import shorten
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from model_store.features import FeatureSet
from model_store.manifest import Task
from training.context import Replayed, context
from training.dataset import TEST, Dataset
from training.errors import DataError
from training.explain.importance import PART, subject
from training.model.network import Network
from training.predict import Represented, predict

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HOURS = 24
USERS, ITEMS = 50, 12
TITLE = 52  # letters of an item's text
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Day:
    """Answers to one user: scores and places (items, 24), by local hour; the best place is 1.

    history: events that were known of the user when the day began, and when it ended. change: mean standard
    deviation of an item's place; usual: the same of the median user among `users`.
    """

    task: str
    measure: str
    date: str
    timezone: str
    user: str
    history: tuple[int, int]
    items: tuple[str, ...]
    titles: tuple[str, ...]
    scores: tuple[tuple[float, ...], ...]
    places: tuple[tuple[int, ...], ...]
    change: float
    usual: float
    users: int

    @property
    def caption(self) -> str:
        """What is seen, and how it was picked."""
        return (
            f"The same {len(self.items)} items, most often shown on {self.date} and out before it began, "
            f"asked for at every full hour for one user, with what the log knew just before. Numbers in the cells "
            f"are the first three places. The user was picked: of {self.users} with long histories, drawn at random, "
            f"the one whose answers change most. An item's place wanders by {self.change:.1f} (standard deviation), "
            f"by {self.usual:.1f} for the median user. The history had {self.history[0]} events at midnight and "
            f"{self.history[1]} a day later."
        )

    def record(self) -> dict[str, Any]:
        """The same for a JSON file."""
        return {"part": PART, **asdict(self), "hours": list(range(HOURS)), "caption": self.caption}


def ask(
    network: Network, dataset: Dataset, represented: Represented, *, users: int = USERS, items: int = ITEMS
) -> Day:
    """The day with most requests of the validation part; DataError says why there is none to show."""
    task = subject(dataset)
    if task.width > 1:
        raise DataError(f"{task.name} answers with several numbers; a day shows a binary or regression task")
    if not len(dataset.histories.items):
        raise DataError("nobody has a history; name some history.events")
    when = _busiest(dataset)
    moments = _moments(dataset, when)
    rows = _items(dataset, moments, items)
    chosen = _users(dataset, moments, users)
    part = asked(dataset, chosen, rows, moments[:-1])
    layout = FeatureSet(part.features, part.clock).layout
    recall = Replayed(part.log, part.lists, layout, len(part.item_ids))
    part = replace(part, context=context(part, recall))
    values = predict(network, part, represented, PART).values[task.name]
    scores = values.reshape(len(chosen), HOURS, len(rows)).astype(np.float64)
    changes = change(scores)
    best = int(changes.argmax())
    return _told(dataset, task, when, chosen[best], rows=rows, scores=scores[best], changes=changes)


def change(scores: Floats) -> Floats:
    """How much the answers (U, 24, n) of each user change, (U,)."""
    return np.asarray(_places(scores).std(axis=1).mean(axis=1))


def asked(dataset: Dataset, numbers: Ints, rows: Ints, moments: Floats) -> Dataset:
    """Requests like these (U,), but for the items of these rows and at each of these moments; no context yet.

    Histories are of before each moment, strictly. There is no query.
    """
    repeated = np.repeat(numbers, len(moments))
    part = dataset.cut(repeated, [rows] * len(repeated))
    times = np.tile(moments, len(numbers))
    limit = dataset.config.history.limit
    requests = replace(
        part.requests,
        times=times,
        queries=np.full(len(repeated), -1, dtype=np.int64),
        history=dataset.histories.before(part.requests.users, times, limit),
    )
    return replace(part, requests=requests)


def _told(
    dataset: Dataset, task: Task, when: date, number: int, *, rows: Ints, scores: Floats, changes: Floats
) -> Day:
    """The answers (24, n) of one request's user, best items first."""
    order = np.argsort(-scores.mean(axis=0), kind="stable")
    items, user = dataset.rows[rows][order], dataset.requests.users[number]
    ends = _moments(dataset, when)[[0, -1]]
    history = dataset.histories.before(np.full(2, user), ends, len(dataset.histories.items))
    return Day(
        task=task.name,
        measure=f"predicted chance of {task.name}" if task.type == "binary" else f"predicted {task.name}",
        date=when.isoformat(),
        timezone=dataset.clock.zone,
        user=dataset.user_ids[user],
        history=(int(history[0, 1] - history[0, 0]), int(history[1, 1] - history[1, 0])),
        items=tuple(dataset.item_ids[item] for item in items),
        titles=tuple(_title(dataset.texts[item]) for item in items),
        scores=tuple(map(tuple, scores[:, order].T.tolist())),
        places=tuple(map(tuple, _places(scores)[:, order].T.tolist())),
        change=float(changes.max()),
        usual=float(np.median(changes)),
        users=len(changes),
    )


def _title(text: str) -> str:
    """The first sentence of an item's text, shortened, without what cannot be printed."""
    printed = "".join(letter if letter.isprintable() else " " for letter in text)
    return shorten(printed.partition(". ")[0], TITLE, placeholder="…")


def _places(scores: Floats) -> Ints:
    """Places along the last axis, from 1 for the highest score."""
    order = np.argsort(-scores, axis=-1, kind="stable")
    return np.asarray(np.argsort(order, axis=-1, kind="stable") + 1)


def _busiest(dataset: Dataset) -> date:
    """The local day with most requests of the part, the first of equals."""
    times = dataset.requests.times[dataset.requests.of(PART)]
    days, counts = np.unique(np.floor(dataset.clock.local(times) / 86_400.0), return_counts=True)
    return EPOCH + timedelta(days=int(days[counts.argmax()]))


def _moments(dataset: Dataset, when: date) -> Floats:
    """Every full local hour of a day, and the midnight that ends it: unix seconds (25,)."""
    zone = ZoneInfo(dataset.clock.zone)
    hours = [datetime.combine(when, time(hour), tzinfo=zone) for hour in range(HOURS)]
    hours.append(datetime.combine(when + timedelta(days=1), time(0), tzinfo=zone))
    return np.array([hour.timestamp() for hour in hours])


def _items(dataset: Dataset, moments: Floats, limit: int) -> Ints:
    """A row of each of the items that were shown most on the day and were out before; nothing of the test part."""
    requests = dataset.requests
    within = (requests.times >= moments[0]) & (requests.times < moments[-1]) & (requests.splits != TEST)
    rows = np.flatnonzero(within[requests.owners])
    earlier = dataset.rows[requests.times[requests.owners] < moments[0]]
    out = (dataset.published <= moments[0]) | np.isin(np.arange(len(dataset.item_ids)), earlier)
    rows = rows[out[dataset.rows[rows]]]
    _, first, counts = np.unique(dataset.rows[rows], return_index=True, return_counts=True)
    if len(counts) < 2:
        raise DataError("fewer than two of the day's items were out before it began")
    commonest = np.argsort(-counts, kind="stable")[:limit]
    return np.asarray(rows[first[commonest]])


def _users(dataset: Dataset, moments: Floats, limit: int) -> Ints:
    """A request of each of some users of the part, drawn from the half with the longer histories."""
    numbers = dataset.requests.of(PART)
    users, first = np.unique(dataset.requests.users[numbers], return_index=True)
    numbers = numbers[first[users >= 0]]
    users = users[users >= 0]
    starts = np.full(len(users), moments[0])
    bounds = dataset.histories.before(users, starts, dataset.config.history.limit)
    sizes = bounds[:, 1] - bounds[:, 0]
    if not sizes.any():
        raise DataError(f"no user of the {PART} part has a history when the day begins")
    numbers = numbers[sizes >= max(np.median(sizes[sizes > 0]), 1)]
    return np.random.default_rng(0).permutation(numbers)[:limit]
