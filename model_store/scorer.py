"""The heads as they are served: the function of heads.onnx, laid out so that most of it is one product a candidate.

scorer.items.onnx makes of an item what is constant for it, which is kept beside the catalogue. What user, query and
context add is computed by the compiled kernel where there is one, and otherwise by graphs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from model_store import kernel
from model_store.bundle import Bundle
from model_store.engine import Engine, session
from model_store.errors import BundleMismatch
from model_store.features import FeatureSet
from model_store.gather import cuts
from model_store.graphs import Graphs
from model_store.kernel import Kernel
from model_store.manifest import Task
from model_store.parts import Askers, Outputs, Parts, Rows, Tables, Vectors

TOLERANCE = 1e-5  # greatest difference from heads.onnx, as a share of the task's range where that is above 1


class Heads(Protocol):
    """What computes the tasks of candidates."""

    @property
    def orders(self) -> list[list[str]]:
        """The tasks in the order of the columns, as each of its files tells them."""

    @property
    def widths(self) -> dict[str, int]:
        """Columns of what it reads."""

    def outputs(
        self, askers: Askers, owners: Rows | None, parts: Tables, places: Rows, *, own: Vectors
    ) -> Outputs:
        """Every task of n candidates, 1 or more, (n, width).

        askers: `user` (m, d), `shared` (m, Fs) and, if one of them asked something, `query` (m, d); if others did
        not, `asked` (m,) says who did; owners (n,): whose each candidate is, ascending, None if all are of the
        first; the rest as in Scorer.scores.
        """


@dataclass(frozen=True)
class Side:
    """One asker: user (d,), query (d,) or None, and the columns of the context that its candidates share (Fs,)."""

    user: Vectors
    query: Vectors | None
    shared: Vectors


class Scorer:
    """All online tasks of one bundle, `tasks` in the order of the columns. May be called from many threads."""

    def __init__(
        self,
        bundle: Bundle,
        features: FeatureSet,
        opener: Callable[..., Any] = session,
        *,
        compiled: bool = True,
    ) -> None:
        """compiled: by the kernel, if it can be had. Raises BundleMismatch if files are not as the manifest says."""
        self._items = opener(bundle, "scorer.items.onnx", "cpu", keep=True)
        self.compiled = compiled and kernel.serves(bundle)
        self._heads: Heads = (Kernel.open if self.compiled else Graphs)(bundle, opener)
        self.manifest = bundle.manifest
        self.tasks = _tasks(bundle, self._heads, features)
        self.width = sum(task.width for task in self.tasks)

    def parts(self, vectors: Vectors) -> Parts:
        """What is constant for items, from their vectors (n, d)."""
        vectors = np.ascontiguousarray(vectors)
        some = [vectors[cut] for cut in list(cuts(len(vectors))) or [slice(0)]]
        runs = [self._items.run(None, {"items": each}) for each in some]
        experts, rest, *silent = (np.concatenate(part) for part in zip(*runs, strict=True))
        return Parts(vectors, experts, rest, silent[0] if silent else vectors[:, :0])

    def scores(self, side: Side, parts: Tables, places: Rows, own: Vectors) -> Outputs:
        """Every task of n candidates of one asker, (n, width).

        parts: of N items; places (n,): where the candidates stand in them; own (n, Fo): their columns of the context.
        """
        if not len(places):
            return np.empty((0, self.width), dtype=np.float32)
        return self._heads.outputs(_stacked([side]), None, parts, places, own=own)

    def pairs(
        self, sides: Sequence[Side], owners: Rows, parts: Tables, places: Rows, *, own: Vectors
    ) -> Outputs:
        """The same for the candidates of many askers side by side; owners (n,): whose each is, ascending."""
        if len(sides) == 1 or not len(places):
            return self.scores(sides[0], parts, places, own)
        return self._heads.outputs(_stacked(sides), owners, parts, places, own=own)

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


def _stacked(sides: Sequence[Side]) -> Askers:
    """What is read of askers, a row each."""
    rows = {"user": [side.user for side in sides], "shared": [side.shared for side in sides]}
    asked = np.array([side.query is not None for side in sides])
    if asked.any():
        nothing = np.zeros_like(sides[0].user)
        rows["query"] = [nothing if side.query is None else side.query for side in sides]
    found: dict[str, NDArray[Any]] = {name: np.array(row, dtype=np.float32) for name, row in rows.items()}
    return found if asked.all() or not asked.any() else found | {"asked": asked}


def _tasks(bundle: Bundle, heads: Heads, features: FeatureSet) -> tuple[Task, ...]:
    """The tasks in the order of the outputs, as the scorer's files tell them."""
    manifest = bundle.manifest
    expected = {
        "user": manifest.dimension, "query": manifest.dimension, "items": manifest.dimension,
        "own": len(features.own), "shared": len(features.shared), "context": features.width,
    }  # fmt: skip
    wrong = {name: width for name, width in heads.widths.items() if expected.get(name, width) != width}
    names = sorted(task.name for task in manifest.online_tasks)
    if wrong or any(sorted(order) != names or order != heads.orders[0] for order in heads.orders):
        raise BundleMismatch(
            f"{bundle.folder}: the scorer has {heads.orders[0]} and {heads.widths}, the manifest says {names} and "
            f"{expected}; export it again"
        )
    return tuple(manifest.task(name) for name in heads.orders[0])


def _samples(bundle: Bundle) -> Iterator[tuple[Vectors, Vectors, Vectors]]:
    """User (d,), query (d,) and context (n, F) of each request of the proof; an item's text where it has no query."""
    with np.load(bundle.path("proof.npz"), allow_pickle=False) as proof:
        for user in [name for name in proof.files if name.startswith("heads/") and name.endswith("/user")]:
            query, context = (proof[f"{user.removesuffix('user')}{name}"] for name in ("query", "context"))
            yield proof[user][0], query[0] if query.any() else bundle.items.vectors[0], context
