"""The work between request and answer as a good team writes it by hand, for the peers: numpy around one graph.

Everything is known beforehand: which context features, which heads, which fusion. What Chorus does in general
(other features, cold items, filters, explanations, missing values) is left out, to the peers' advantage.
"""

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

Vector = NDArray[np.float32]
Heads = Callable[[Vector, Vector | None, Vector, Vector], Sequence[Vector]]


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

    heads: user (d,), query (d,) or None, items (n, d), context (n, F) -> click, query_match, time, rating (n, w).
    """

    def __init__(self, folder: Path, heads: Heads) -> None:
        catalogue = items.read(folder)
        manifest = Manifest.model_validate_json((folder / "manifest.json").read_bytes())
        self._rows = catalogue.rows
        self._vectors = np.ascontiguousarray(catalogue.vectors)
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
        self, candidates: Sequence[str], user: bytes, query: bytes | None, now: datetime, k: int
    ) -> list[dict[str, Any]]:
        """The k best of the candidates; `user` and `query` as Redis holds them."""
        rows = np.fromiter(map(self._rows.__getitem__, candidates), np.int64, len(candidates))
        last, size, vector = keys.unpack(user)
        asked = None if query is None else np.frombuffer(query, np.float32)
        context = self._context(rows, now.timestamp(), last, size)
        click, match, time, rating = self._heads(vector, asked, self._vectors[rows], context)
        click, match, rating = click[:, 0], match[:, 0], rating[:, 0]
        time = time[:, int(now.timestamp() % DAY // 21_600.0)]
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

    def _context(self, rows: NDArray[np.int64], now: float, last: float, size: float) -> NDArray[np.float32]:
        """hour (4), weekday (2), item_age and missing, since_last and missing, history_size."""
        table = np.zeros((len(rows), 11), np.float32)
        hour = now % DAY * (2.0 * np.pi / DAY)
        weekday = np.floor((now / DAY + 3.0) % 7.0) * (2.0 * np.pi / 7.0)
        table[:, :6] = (
            np.sin(hour), np.cos(hour), np.sin(2 * hour), np.cos(2 * hour), np.sin(weekday), np.cos(weekday),
        )  # fmt: skip
        table[:, 6] = np.log1p(np.maximum(now - self._published[rows], 0.0) / 3_600.0) / 4.0
        table[:, 8] = np.log1p(max(now - last, 0.0) / 3_600.0) / 4.0
        table[:, 10] = np.log1p(size) / 4.0
        return table


def ranker(place: Place) -> Ranker:
    """With the graph that the contender is given."""
    opened = session(place.graph)
    width = opened.get_inputs()[0].shape[1]
    nothing = np.zeros((1, width), np.float32)

    def heads(user: Vector, query: Vector | None, rows: Vector, context: Vector) -> Sequence[Vector]:
        asked = nothing if query is None else query[None]
        return opened.run(None, {"user": user[None], "query": asked, "items": rows, "context": context})

    return Ranker(place.folder, heads)


def session(graph: Path) -> onnxruntime.InferenceSession:
    """One thread a run, as on one core."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
