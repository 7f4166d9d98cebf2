"""The heads as they are served: the function of heads.onnx, laid out so that most of it is one product a candidate.

scorer.items.onnx makes of an item what is constant for it, which is kept beside the catalogue. scorer.onnx and
scorer.query.onnx add user, query and context, a few hundred candidates at a time, of one asker or of many: more would
overflow the cache, and a run of fewer costs as much again.
"""

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import Bundle
from model_store.engine import Engine, session
from model_store.errors import BundleMismatch
from model_store.features import FeatureSet
from model_store.manifest import Task
from model_store.parts import Parts, Rows, Tables, Vectors

ROWS = 512  # candidates of one run
TOLERANCE = 1e-5  # greatest difference from heads.onnx, as a share of the task's range where that is above 1

Outputs = NDArray[np.float32]
ONE: Rows = np.zeros(1, dtype=np.int64)  # all candidates are of the first asker


@dataclass(frozen=True)
class Side:
    """One asker: user (d,), query (d,) or None, and the columns of the context that its candidates share (Fs,)."""

    user: Vectors
    query: Vectors | None
    shared: Vectors


class Scorer:
    """All online tasks of one bundle, `tasks` in the order of the columns. May be called from many threads."""

    def __init__(self, bundle: Bundle, features: FeatureSet, opener: Callable[..., Any] = session) -> None:
        """Raises BundleMismatch if the graphs are not of the manifest's tasks and features."""
        files = ("scorer.items.onnx", "scorer.onnx", "scorer.query.onnx")
        # runs are short, so the memory that they keep is bounded
        self._items, *scoring = (opener(bundle, file, "cpu", keep=True) for file in files)
        self._graphs = {asked: _Graph(found) for asked, found in zip((False, True), scoring, strict=True)}
        self._room = threading.local()
        self.manifest = bundle.manifest
        self.tasks = _tasks(bundle, scoring, features)
        self.width = sum(task.width for task in self.tasks)

    def parts(self, vectors: Vectors) -> Parts:
        """What is constant for items, from their vectors (n, d)."""
        cuts = [np.ascontiguousarray(vectors[cut]) for cut in list(_cuts(len(vectors))) or [slice(0)]]
        runs = [self._items.run(None, {"items": some}) for some in cuts]
        experts, rest, *silent = (np.concatenate(part) for part in zip(*runs, strict=True))
        return Parts(vectors, experts, rest, silent[0] if silent else vectors[:, :0])

    def scores(self, side: Side, parts: Tables, places: Rows, own: Vectors) -> Outputs:
        """Every task of n candidates of one asker, (n, width).

        parts: of N items; places (n,): where the candidates stand in them; own (n, Fo): their columns of the context.
        """
        outputs, askers = self._empty(places), _stacked([side])
        for cut in _cuts(len(places)):
            outputs[cut] = self._run(askers, ONE, parts, places[cut], own=own[cut])
        return outputs

    def pairs(
        self, sides: Sequence[Side], owners: Rows, parts: Tables, places: Rows, *, own: Vectors
    ) -> Outputs:
        """The same for the candidates of many askers side by side; owners (n,): whose each is, ascending."""
        if len(sides) == 1:
            return self.scores(sides[0], parts, places, own)
        outputs = self._empty(places)
        asked = np.array([side.query is not None for side in sides])
        for kind in self._graphs:
            rows, numbers = np.flatnonzero(asked[owners] == kind), np.flatnonzero(asked == kind)
            askers = _stacked([sides[number] for number in numbers.tolist()])
            ranks = np.searchsorted(numbers, owners[rows])
            for cut in _cuts(len(rows)):
                chosen, whose = rows[cut], ranks[cut]
                first, last = int(whose[0]), int(whose[-1])
                some = {name: values[first : last + 1] for name, values in askers.items()}
                whose = whose - first if last > first else ONE
                outputs[chosen] = self._run(some, whose, parts, places[chosen], own=own[chosen])
        return outputs

    def check(self, bundle: Bundle, engine: Engine) -> dict[str, float]:
        """Compare with heads.onnx on items of the catalogue, for the users and contexts of the proof.

        Returns the greatest difference of each task; raises BundleMismatch if one is above TOLERANCE.
        """
        return list(self.checks(bundle, engine))[-1]

    def checks(self, bundle: Bundle, engine: Engine) -> Iterator[dict[str, float]]:
        """The same step by step, with what was found so far."""
        parts = bundle.items.parts
        widths = [node.shape[1] for node in self._items.get_outputs()]
        if [part.shape[1] for part in parts][1 : 1 + len(widths)] != widths:
            raise BundleMismatch(
                f"{bundle.folder}: scorer.items.onnx makes parts of {widths}, the items have "
                f"{[part.shape[1] for part in parts][1:]}; export it again"
            )
        features, generator = engine.features, np.random.default_rng(0)
        apart = dict.fromkeys((task.name for task in self.tasks), 0.0)
        for user, query, context in _samples(bundle):
            places = generator.integers(len(parts), size=len(context))
            for asked in (None, query):
                side = Side(user, asked, context[0, features.shared])
                found = self.scores(side, parts, places, context[:, features.own])
                expected = engine.heads(user, asked, parts.vectors[places], context)
                for name, difference in self._apart(found, expected).items():
                    apart[name] = float(np.maximum(apart[name], difference))  # unlike max, it keeps a NaN
                yield apart
        for name, difference in apart.items():
            if not difference <= TOLERANCE:
                raise BundleMismatch(
                    f"{bundle.folder}: {name} of the scorer and of heads.onnx differ by {difference:.1e} of the "
                    f"task's range, more than {TOLERANCE}; export the bundle again"
                )
        yield apart

    def _apart(self, found: Outputs, expected: Mapping[str, Outputs]) -> dict[str, float]:
        ends = np.cumsum([task.width for task in self.tasks])
        return {
            task.name: float(np.abs(found[:, end - task.width : end] - expected[task.name]).max())
            / max(1.0, task.high - task.low)
            for task, end in zip(self.tasks, ends.tolist(), strict=True)
        }

    def _gathered(self, parts: Tables, places: Rows) -> dict[str, Vectors]:
        """The parts of a few items, in room of the thread's own that the next run overwrites."""
        room = getattr(self._room, "parts", None)
        if room is None:
            room = self._room.parts = [np.empty((ROWS, part.shape[1]), dtype=np.float32) for part in parts]
        found = [space[: len(places)] for space in room]
        for part, space in zip(parts, found, strict=True):
            part.take(places, axis=0, out=space, mode="clip")  # "raise" would copy twice
        return dict(zip(("items", "experts", "rest", "silent"), found, strict=True))

    def _run(
        self, askers: Mapping[str, Vectors], whose: Rows, parts: Tables, places: Rows, *, own: Vectors
    ) -> Outputs:
        """whose (n,): the asker of each candidate, or (1,) if all are one's."""
        candidates = {**self._gathered(parts, places), "own": own}
        return self._graphs["query" in askers].run(askers, whose, candidates)

    def _empty(self, places: Rows) -> Outputs:
        return np.empty((len(places), self.width), dtype=np.float32)


class _Graph:
    """One of the graphs that score. Those of earlier bundles read a row a candidate of all that is an asker's."""

    def __init__(self, opened: Any) -> None:
        self._session = opened
        self._names = [node.name for node in opened.get_inputs()]

    def run(self, askers: Mapping[str, Vectors], whose: Rows, candidates: Mapping[str, Vectors]) -> Outputs:
        """Of all that there is, the graph is fed what it reads."""
        feeds: dict[str, NDArray[Any]] = {**askers, **candidates, "whose": whose}
        if "context" in self._names:
            feeds["context"] = _context(askers["shared"][whose], candidates["own"])
        if "whose" not in self._names:
            feeds |= {name: rows[whose] for name, rows in askers.items()}
        outputs: Outputs = self._session.run(None, {name: feeds[name] for name in self._names})[0]
        return outputs


def _context(shared: Vectors, own: Vectors) -> Vectors:
    """Columns of n candidates side by side, (n, F): shared (n, Fs), or (1, Fs) for all, and own (n, Fo)."""
    table = np.empty((len(own), shared.shape[1] + own.shape[1]), dtype=np.float32)
    table[:, : shared.shape[1]], table[:, shared.shape[1] :] = shared, own
    return table


def _stacked(sides: Sequence[Side]) -> dict[str, Vectors]:
    """What the graphs read of askers, a row each; all have a query, or none."""
    rows = {"user": [side.user for side in sides], "shared": [side.shared for side in sides]}
    queries = [side.query for side in sides if side.query is not None]
    return {name: np.array(row) for name, row in (rows | ({"query": queries} if queries else {})).items()}


def _cuts(size: int) -> Iterator[slice]:
    """As few equal runs as there must be."""
    step = -(-size // max(1, -(-size // ROWS)))
    for begin in range(0, size, max(1, step)):
        yield slice(begin, min(begin + step, size))


def _tasks(bundle: Bundle, graphs: Sequence[Any], features: FeatureSet) -> tuple[Task, ...]:
    """The tasks in the order of the outputs, as the graphs tell them."""
    manifest = bundle.manifest
    told = [json.loads(graph.get_modelmeta().custom_metadata_map.get("tasks", "[]")) for graph in graphs]
    expected = {
        "user": manifest.dimension, "query": manifest.dimension, "items": manifest.dimension,
        "own": len(features.own), "shared": len(features.shared), "context": features.width,
    }  # fmt: skip
    found = {
        node.name: node.shape[1] for graph in graphs for node in graph.get_inputs() if len(node.shape) == 2
    }
    wrong = {name: width for name, width in found.items() if expected.get(name, width) != width}
    names = sorted(task.name for task in manifest.online_tasks)
    if wrong or any(sorted(order) != names for order in told) or told[0] != told[1]:
        raise BundleMismatch(
            f"{bundle.folder}: the scorer has {told[0]} and {found}, the manifest says {names} and {expected}; "
            "export it again"
        )
    return tuple(manifest.task(name) for name in told[0])


def _samples(bundle: Bundle) -> Iterator[tuple[Vectors, Vectors, Vectors]]:
    """User (d,), query (d,) and context (n, F) of each request of the proof; an item's text where it has no query."""
    with np.load(bundle.path("proof.npz"), allow_pickle=False) as proof:
        for user in [name for name in proof.files if name.startswith("heads/") and name.endswith("/user")]:
            query, context = (proof[f"{user.removesuffix('user')}{name}"] for name in ("query", "context"))
            yield proof[user][0], query[0] if query.any() else bundle.items.vectors[0], context
