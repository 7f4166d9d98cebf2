"""The work between request and answer as a good team writes it by hand, for the peers: numpy around one graph.

Everything is known beforehand: which context features, which heads, which fusion. What Chorus does in general
(other features, cold items, filters, explanations, missing values) is left out, to the peers' advantage.
"""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from benchmarks.speed import keys
from model_store import items
from model_store.manifest import Manifest

DAY = 86_400.0
COLUMNS, AGE = 11, 6  # hour 4, weekday 2, item_age 1 + missing, since_last 1 + missing, history_size

Vector = NDArray[np.float32]
Rows = NDArray[np.int64]
Heads = Callable[[Vector, Vector | None, Rows, Vector, Vector], Sequence[Vector]]


@dataclass(frozen=True)
class Place:
    """Where a contender finds things, as its environment says."""

    folder: Path
    graph: Path
    redis: str
    port: int

    @classmethod
    def read(cls) -> "Place":
        """From SPEED_*, which the benchmark sets."""
        env = os.environ
        return cls(
            Path(env["SPEED_BUNDLE"]), Path(env["SPEED_GRAPH"]), env["SPEED_REDIS"], int(env["SPEED_PORT"])
        )


class Ranker:
    """Scores given candidates with every head; one request a call.

    heads: user (d,), query (d,) or None, rows of the catalogue (n,), the context that all candidates share (F,), with
    0 for their age, and that age (n,) -> click, query_match, time, rating, each (n, width).
    """

    def __init__(self, folder: Path, heads: Heads) -> None:
        catalogue = items.read(folder)
        manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
        self._rows = catalogue.rows
        self._published = np.ascontiguousarray(catalogue.published)
        weights = manifest.fusion.weights
        total = sum(weights.values())
        self._click, self._match, self._time, self._rating = (
            weights[name] / total for name in ("click", "query_match", "time", "rating")
        )
        rating = manifest.task("rating")
        self._low, self._range = rating.low, rating.high - rating.low
        self._heads = heads

    def rank(
        self, candidates: Sequence[str], user: bytes, query: bytes | None, moment: datetime, k: int
    ) -> list[dict[str, Any]]:
        """The k best of the candidates; `user` and `query` as Redis holds them."""
        now, (last, size, vector) = moment.timestamp(), keys.unpack(user)
        asked = None if query is None else np.frombuffer(query, np.float32)
        rows = np.fromiter(map(self._rows.__getitem__, candidates), np.int64, len(candidates))
        ages = _log_hours(now - self._published.take(rows)).astype(np.float32)
        click, match, time, rating = self._heads(vector, asked, rows, _shared(now, last, size), ages)
        click, match, rating = click[:, 0], match[:, 0], rating[:, 0]
        time = time[:, int(now % DAY // 21_600.0)]
        mapped = np.clip((rating - self._low) / self._range, 0.0, 1.0)
        scores = self._click * click + self._match * match + self._time * time + self._rating * mapped
        best = np.argpartition(-scores, k)[:k] if k < len(scores) else np.arange(len(scores))
        best = best[np.argsort(-scores[best])]
        columns = (part[best].tolist() for part in (scores, click, match, time, rating))
        return [
            {
                "item_id": candidates[place],
                "score": score,
                "tasks": {"click": clicked, "query_match": matched, "time": timed, "rating": rated},
            }
            for place, score, clicked, matched, timed, rated in zip(best.tolist(), *columns, strict=True)
        ]


def ranker(place: Place) -> Ranker:
    """With the graph that the contender is given."""
    opened = session(place.graph)
    vectors = np.ascontiguousarray(items.read(place.folder).vectors)
    nothing = np.zeros((1, vectors.shape[1]), np.float32)

    def heads(
        user: Vector, query: Vector | None, rows: Rows, shared: Vector, ages: Vector
    ) -> Sequence[Vector]:
        context = np.empty((len(rows), COLUMNS), np.float32)
        context[:] = shared
        context[:, AGE] = ages
        asked = nothing if query is None else query[None]
        feeds = {"user": user[None], "query": asked, "items": vectors.take(rows, axis=0), "context": context}
        return opened.run(None, feeds)

    return Ranker(place.folder, heads)


def session(graph: Path) -> onnxruntime.InferenceSession:
    """One thread a run, as on one core."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])


def _shared(now: float, last: float, size: float) -> Vector:
    """The columns of the context that are the same for all candidates; none of them is missing."""
    hour = now % DAY * (2.0 * math.pi / DAY)
    weekday = math.floor((now / DAY + 3.0) % 7.0) * (2.0 * math.pi / 7.0)
    since, told = math.log1p(max(now - last, 0.0) / 3_600.0) / 4.0, math.log1p(size) / 4.0
    return np.array(
        [
            math.sin(hour), math.cos(hour), math.sin(2 * hour), math.cos(2 * hour),
            math.sin(weekday), math.cos(weekday), 0.0, 0.0, since, 0.0, told,
        ],
        np.float32,
    )  # fmt: skip


def _log_hours(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.log1p(np.maximum(seconds, 0.0) / 3_600.0) / 4.0
