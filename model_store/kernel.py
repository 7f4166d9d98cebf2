"""The heads in one pass, compiled: what scorer.onnx does in sixty operators, each of which goes through memory.

scorer.npz has the heads' weights, scorer.links.onnx what comes after their logits. Of a few dozen candidates at a
time the rows are read, crossed with user and query, mixed and scored while they lie in the processor's cache.
Without a compiler Chorus is installed without this, and a bundle made before has no weights: then the graphs serve.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import Bundle
from model_store.errors import BundleMismatch
from model_store.gather import Gather, cuts
from model_store.graphs import told
from model_store.parts import Askers, Outputs, Rows, Table, Tables, Vectors, flat

try:
    from model_store import _kernel
except ImportError:  # it was installed without a compiler
    _kernel = None  # type: ignore[assignment]

WEIGHTS, LINKS = "scorer.npz", "scorer.links.onnx"
PANEL = 16  # columns that lie together in a matrix
LINE = 64  # bytes of a line of the cache
PAIR, USER_ITEM, QUERY_ITEM = range(3)  # what a task sees: all and the context; user and item; query and item

Arrays = Mapping[str, NDArray[Any]]


def serves(bundle: Bundle) -> bool:
    """Whether it was compiled, and the bundle has what it reads."""
    return _kernel is not None and WEIGHTS in bundle.manifest.files


class Kernel:
    """The tasks of one bundle. May be called from many threads."""

    def __init__(self, arrays: Arrays, links: Any, *, plain: bool = False) -> None:
        """arrays: those of scorer.npz; links: the graph of scorer.links.onnx, opened; plain: as any processor can.

        Raises ValueError or KeyError if the arrays are not of one network.
        """
        self._links, self._layout, self._plain = links, _layout(arrays), plain
        size, self._room = _kernel.sizes(self._layout)
        self._weights = _packed(arrays, size)
        self._own, self._gather = threading.local(), Gather()
        self._kinds = set(arrays["kinds"].tolist())
        self._width = arrays["last"].shape[1]
        if links.get_inputs()[0].shape[1] != self._width:
            raise ValueError(f"it has {self._width} logits, {LINKS} reads {links.get_inputs()[0].shape[1]}")
        self.orders = [told(links)]
        self.widths = {
            "user": len(arrays["user"]), "shared": len(arrays["shared_mean"]), "own": len(arrays["own_mean"])
        }  # fmt: skip

    @classmethod
    def open(cls, bundle: Bundle, opener: Callable[..., Any]) -> "Kernel":
        """That of a bundle; BundleMismatch if its weights are not of one network."""
        with np.load(bundle.path(WEIGHTS), allow_pickle=False) as arrays:
            try:
                return cls(dict(arrays), opener(bundle, LINKS, "cpu", keep=True))
            except KeyError as error:
                raise BundleMismatch(
                    f"{bundle.path(WEIGHTS)}: it has no {error}; export the bundle again"
                ) from error
            except (ValueError, IndexError, OverflowError, TypeError) as error:
                raise BundleMismatch(f"{bundle.path(WEIGHTS)}: {error}; export the bundle again") from error

    def outputs(
        self, askers: Askers, owners: Rows | None, parts: Tables, places: Rows, *, own: Vectors
    ) -> Outputs:
        """See scorer.Heads."""
        *tables, silent = parts
        if not (self._kinds & {PAIR, USER_ITEM} or "query" in askers):
            return silent.take(places, axis=0)
        logits = self._logits(askers, owners, tables, places, own)
        found: Outputs = self._links.run(None, {"logits": logits})[0]
        if QUERY_ITEM in self._kinds:
            self._silence(found, askers, owners, silent, places)
        return found

    @staticmethod
    def _silence(found: Outputs, askers: Askers, owners: Rows | None, silent: Table, places: Rows) -> None:
        """Put what is constant for an item in the place of what was not asked; those tasks are the last."""
        columns = slice(found.shape[1] - silent.shape[1], None)
        if "query" not in askers:
            found[:, columns] = silent.take(places, axis=0)
        elif "asked" in askers:
            rows = np.flatnonzero(~askers["asked"][owners])
            found[rows, columns] = silent.take(places[rows], axis=0)

    def _logits(
        self, askers: Askers, owners: Rows | None, tables: Tables, places: Rows, own: Vectors
    ) -> Vectors:
        """(n, W)."""
        logits = np.empty((len(places), self._width), dtype=np.float32)
        own, places = np.ascontiguousarray(own, np.float32), np.ascontiguousarray(places, np.int64)
        if plain := flat(tables, places):
            self._write(logits, askers, owners, *plain, own)
        else:
            for cut in cuts(len(places)):
                some = self._gather.rows(tables, places[cut])
                whose = None if owners is None else owners[cut]
                self._write(logits[cut], askers, whose, some, np.arange(len(some[0])), own[cut])
        return logits

    def _write(
        self,
        logits: Vectors,
        askers: Askers,
        owners: Rows | None,
        tables: list[Vectors],
        places: Rows,
        own: Vectors,
    ) -> None:
        room: Vectors | None = getattr(self._own, "room", None)
        if room is None:
            room = self._own.room = _aligned(self._room)
        vectors, experts, rest = map(np.ascontiguousarray, tables)  # a table that is not is a small one
        _kernel.score(
            self._layout, self._weights, room, logits, vectors, experts, rest, places, owners,
            askers["user"], askers.get("query"), askers.get("asked"), askers["shared"], own, self._plain,
        )  # fmt: skip


def _experts(arrays: Arrays) -> int:
    return int(arrays["hidden"]) * (int(arrays["seen"].max()) + 1)


def _layout(arrays: Arrays) -> NDArray[np.int64]:
    """What kernel.c reads in read_heads, in its order."""
    kinds, seen = arrays["kinds"], arrays["seen"]
    d, first = arrays["user"].shape
    experts, tower, present = _experts(arrays), arrays["towers"].shape[2], set(kinds.tolist())
    return np.array(
        [
            d, experts, arrays["hidden"], first - experts, len(kinds), seen.shape[1],
            _whole(len(arrays["now_row"])), tower, arrays["last"].shape[1], len(present),
            bool(present & {PAIR, USER_ITEM}), bool(present & {PAIR, QUERY_ITEM}), PAIR in present,
            len(arrays["shared_mean"]), len(arrays["own_mean"]), *kinds, *seen.ravel(),
        ],
        dtype=np.int64,
    )  # fmt: skip


def _packed(arrays: Arrays, size: int) -> Vectors:
    """All weights as kernel.c reads them: each on a line of its own, matrices in panels of 16 columns."""
    weights = _aligned(size)
    at = 0
    for values in _ordered(arrays):
        numbers = np.ascontiguousarray(values, dtype=np.float32).ravel()
        weights[at : at + len(numbers)] = numbers
        at += _whole(len(numbers))
    if at != size:
        raise ValueError(f"the weights have {at} numbers, the layout has {size}")
    return weights


def _ordered(arrays: Arrays) -> Iterator[NDArray[Any]]:
    """All weights in the order of kernel.c."""
    rest = arrays["user"].shape[1] - _experts(arrays)
    first = _whole(_experts(arrays) + _whole(rest))
    for name in ("user", "query"):
        yield _wide(arrays[f"{name}_row"], first)
        yield _panels(arrays[name], first)
        yield _panels(arrays[f"item_{name}"], first)
    for name in ("shared", "own"):
        yield arrays[f"{name}_mean"]
        yield arrays[f"{name}_inverse"]
        yield _panels(arrays[f"{name}_first"], first)
        yield _panels(arrays[f"{name}_now"])
    yield _wide(arrays["now_row"])
    yield _panels(_wide(arrays["now_second"].T).T)
    yield arrays["tower_rows"]
    yield np.stack(list(map(_panels, arrays["towers"])))
    yield _wide(arrays["last_row"])
    towers, last = np.split(arrays["last"], [-rest])
    yield _panels(np.concatenate([towers, _wide(last.T).T]))


def _whole(columns: int) -> int:
    """So many, or as many more as make the last panel whole."""
    return -(-columns // PANEL) * PANEL


def _wide(values: NDArray[Any], columns: int = 0) -> NDArray[Any]:
    """With columns of zeros behind them, so that there are so many, or those of whole panels."""
    width = values.shape[-1]
    return np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, (columns or _whole(width)) - width)])


def _panels(matrix: NDArray[Any], columns: int = 0) -> NDArray[Any]:
    """(k, n) as (panels, k, 16)."""
    wide = _wide(matrix, columns)
    return wide.reshape(len(matrix), wide.shape[1] // PANEL, PANEL).swapaxes(0, 1)


def _aligned(size: int) -> Vectors:
    """So many zeros, the first on a line of the cache."""
    space = np.zeros(size + LINE // 4, dtype=np.float32)
    begin = (-space.ctypes.data % LINE) // 4
    return space[begin : begin + size]
