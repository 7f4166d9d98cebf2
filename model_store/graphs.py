"""The heads as ONNX Runtime runs them: scorer.onnx, and scorer.query.onnx for those who asked something.

A few hundred candidates at a time, of one asker or of many: more would overflow the cache, and a run of fewer costs
as much again.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.bundle import Bundle
from model_store.gather import Gather, cuts
from model_store.parts import Askers, Outputs, Rows, Tables, Vectors

PARTS = ("items", "experts", "rest", "silent")  # as the graphs call them
ONE: Rows = np.zeros(1, dtype=np.int64)  # all candidates are of the first asker


class Graphs:
    """Both graphs. May be called from many threads."""

    def __init__(self, bundle: Bundle, opener: Callable[..., Any]) -> None:
        # runs are short, so the memory that they keep is bounded
        opened = [opener(bundle, file, "cpu", keep=True) for file in ("scorer.onnx", "scorer.query.onnx")]
        self._graphs = {asked: _Graph(found) for asked, found in zip((False, True), opened, strict=True)}
        self._gather = Gather()

    @property
    def orders(self) -> list[list[str]]:
        """The tasks in the order of the columns, as each graph tells them."""
        return [graph.order for graph in self._graphs.values()]

    @property
    def widths(self) -> dict[str, int]:
        """Columns of what they read."""
        return self._graphs[False].widths | self._graphs[True].widths

    def outputs(
        self, askers: Askers, owners: Rows | None, parts: Tables, places: Rows, *, own: Vectors
    ) -> Outputs:
        """See scorer.Heads."""
        if "asked" in askers and owners is not None:
            return self._each(askers, owners, parts, places, own=own)
        graph = self._graphs["query" in askers]
        found = []
        for cut in cuts(len(places)):
            some, whose = askers, ONE
            if owners is not None:
                whose = owners[cut]
                first, last = int(whose[0]), int(whose[-1])
                some = {name: values[first : last + 1] for name, values in askers.items()}
                whose = whose - first if last > first else ONE
            candidates = dict(zip(PARTS, self._gather.rows(parts, places[cut]), strict=True))
            found.append(graph.run(some, whose, {**candidates, "own": own[cut]}))
        return np.concatenate(found)

    def _each(self, askers: Askers, owners: Rows, parts: Tables, places: Rows, *, own: Vectors) -> Outputs:
        """Those who asked something and those who did not by the graph for them."""
        columns = {name: values for name, values in askers.items() if name not in ("asked", "query")}
        found: list[tuple[Rows, Outputs]] = []
        for asked in (False, True):
            numbers = np.flatnonzero(askers["asked"] == asked)
            rows = np.flatnonzero(askers["asked"][owners] == asked)
            some = columns | ({"query": askers["query"]} if asked else {})
            if len(rows):
                whose = np.searchsorted(numbers, owners[rows])
                kept = {name: values[numbers] for name, values in some.items()}
                found.append((rows, self.outputs(kept, whose, parts, places[rows], own=own[rows])))
        outputs = np.empty((len(places), found[0][1].shape[1]), dtype=np.float32)
        for rows, values in found:
            outputs[rows] = values
        return outputs


class _Graph:
    """One of the graphs that score. Those of earlier bundles read a row a candidate of all that is an asker's."""

    def __init__(self, opened: Any) -> None:
        self._session = opened
        self._names = [node.name for node in opened.get_inputs()]
        self.order = told(opened)
        self.widths = {
            node.name: node.shape[1] for node in opened.get_inputs() if len(node.shape) == 2
        }  # but for `whose`

    def run(self, askers: Askers, whose: Rows, candidates: Mapping[str, Vectors]) -> Outputs:
        """whose (n,): the asker of each candidate, or (1,). Of all that there is, the graph is fed what it reads."""
        feeds: dict[str, NDArray[Any]] = {**askers, **candidates, "whose": whose}
        if "context" in self._names:
            feeds["context"] = _context(askers["shared"][whose], candidates["own"])
        if "whose" not in self._names:
            feeds |= {name: rows[whose] for name, rows in askers.items()}
        outputs: Outputs = self._session.run(None, {name: feeds[name] for name in self._names})[0]
        return outputs


def told(opened: Any) -> list[str]:
    """The tasks in the order of the columns, as a graph's metadata tells them."""
    order: list[str] = json.loads(opened.get_modelmeta().custom_metadata_map.get("tasks", "[]"))
    return order


def _context(shared: Vectors, own: Vectors) -> Vectors:
    """Columns of n candidates side by side, (n, F): shared (n, Fs), or (1, Fs) for all, and own (n, Fo)."""
    table = np.empty((len(own), shared.shape[1] + own.shape[1]), dtype=np.float32)
    table[:, : shared.shape[1]], table[:, shared.shape[1] :] = shared, own
    return table
