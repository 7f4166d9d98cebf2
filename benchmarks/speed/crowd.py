"""Who asks, and for what: users with histories, queries that are asked again and again, and texts never seen.

Chorus gets the histories by `chorus-serve load`; the peers get the vectors that Chorus computes of them.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from redis import Redis

from benchmarks.speed import keys
from benchmarks.speed.bundle import Bench
from model_store.bundle import Bundle
from model_store.engine import Engine
from model_store.history import History

USERS, EVENTS, QUERIES = 1_000, 50, 100
DAY = 86_400.0
TOKENS = (8, 16)  # of a text never seen, [CLS] and [SEP] counted


@dataclass(frozen=True)
class User:
    """One user: events (50,) oldest first, as rows of the catalogue, kinds 1 or 2, and unix seconds."""

    name: str
    rows: NDArray[np.int64]
    kinds: NDArray[np.int64]
    times: NDArray[np.float64]


@dataclass(frozen=True)
class Crowd:
    """All who ask, at moments after `now`, unix seconds."""

    bundle: Bundle
    users: list[User]
    queries: list[str]
    now: float

    @property
    def item_ids(self) -> tuple[str, ...]:
        """The catalogue."""
        return self.bundle.items.ids


def gather(bench: Bench) -> Crowd:
    """The same crowd each time."""
    bundle = Bundle.open(bench.bundle)
    now = bundle.manifest.statistics_until + DAY
    generator, items = np.random.default_rng(3), len(bundle.items)
    users = [
        User(
            name=f"v{number:04d}",
            rows=generator.choice(items, EVENTS, replace=False),
            kinds=generator.choice([1, 2], EVENTS, p=[0.8, 0.2]),
            times=np.sort(np.round(now - generator.uniform(0.0, 30 * DAY, EVENTS), 3)),
        )
        for number in range(USERS)
    ]
    asked = pl.read_parquet(bench.tables / "events.parquet")["query"].drop_nulls().unique(maintain_order=True)
    return Crowd(bundle, users, asked.head(QUERIES).to_list(), now)


def histories(crowd: Crowd, path: Path) -> Path:
    """A file for `chorus-serve load`."""
    names, ids = crowd.bundle.manifest.events, crowd.item_ids
    with path.open("w") as file:
        for user in crowd.users:
            events = [
                {"item_id": ids[row], "event": names[kind], "timestamp": moment(time)}
                for row, kind, time in zip(user.rows, user.kinds, user.times, strict=True)
            ]
            file.write(json.dumps({"user_id": user.name, "events": events}) + "\n")
    return path


def fill(crowd: Crowd, redis: str) -> None:
    """Put under the peers' keys what they need: vectors of users and of queries."""
    engine, vectors = Engine(crowd.bundle, "cpu"), crowd.bundle.items.vectors
    values: dict[str | bytes, bytes] = {}
    for user in crowd.users:
        history = History(vectors[user.rows], user.kinds, user.times)
        values[keys.user(user.name)] = keys.pack(user.times[-1], EVENTS, engine.user(history))
    for query in crowd.queries:
        values[keys.query(query)] = engine.text(query).vector.astype("<f4").tobytes()
    with Redis.from_url(redis) as client:
        client.mset(values)


def unseen(crowd: Crowd, number: int) -> list[str]:
    """Texts of 8 to 16 tokens, each once: words of the catalogue, thrown together."""
    generator = np.random.default_rng(4)
    with (crowd.bundle.folder / "items.jsonl").open() as file:
        lines = [json.loads(next(file))["text"] for _ in range(1_000)]
    words = sorted({word.strip(".,:;").lower() for line in lines for word in line.split()} - {""})
    tokens = Engine(crowd.bundle, "cpu").tokenizer
    found: dict[str, None] = {}
    while len(found) < number:
        text = " ".join(generator.choice(words, generator.integers(5, 12)))
        if TOKENS[0] <= len(tokens.encode(text)) <= TOKENS[1]:
            found[text] = None
    return list(found)


def moment(seconds: float) -> str:
    """Unix seconds as ISO 8601, to the millisecond."""
    return datetime.fromtimestamp(seconds, tz=UTC).isoformat(timespec="milliseconds")
