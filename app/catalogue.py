"""The items that can be recommended: those of the bundle, and cold ones that a request describes.

A slate is n candidates side by side, ready for the heads. Retrieval is exact: dot products over all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from model_store.clock import Times
from model_store.items import Items
from model_store.manifest import Manifest

Rows = NDArray[np.int64]
Vectors = NDArray[np.float32]
Filters = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Candidate:
    """An item by id alone (`text` empty), or one that the request describes."""

    item_id: str
    text: str = ""
    attributes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    published: float = float("nan")
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Slate:
    """n candidates: ids, their rows in the catalogue (n,), -1 for an id that is not in it, vectors (n, d),
    published (n,), codes (n, K) by attribute, numbers (n,) by column, NaN where missing, outputs (n, W).

    An item that brings its own text keeps the row of its id: it is still the item that was counted.
    """

    ids: Sequence[str]
    rows: Rows
    vectors: Vectors
    published: Times
    codes: Mapping[str, NDArray[np.int32]]
    numbers: Mapping[str, NDArray[np.float64]]
    outputs: Vectors

    def __len__(self) -> int:
        return len(self.ids)


class Catalogue:
    """The items of one bundle."""

    def __init__(self, items: Items, manifest: Manifest) -> None:
        self.items = items
        self._width = manifest.dimension
        self._outputs = np.zeros((len(items), 0), np.float32) if items.outputs is None else items.outputs
        self._mask = lru_cache(maxsize=256)(self._carries)

    def __len__(self) -> int:
        return len(self.items)

    def row(self, item_id: str) -> int | None:
        """Row number of an item, None if it is unknown."""
        return self.items.rows.get(item_id)

    def knows(self, candidate: Candidate) -> bool:
        """Whether a candidate can be scored: it is in the catalogue or brings its own text."""
        return bool(candidate.text) or candidate.item_id in self.items.rows

    def passes(self, candidate: Candidate, filters: Filters) -> bool:
        """Whether a candidate has an allowed value of every filtered attribute."""
        row = None if candidate.text else self.row(candidate.item_id)
        if row is not None:
            return all(self._mask(name, allowed)[row] for name, allowed in filters.items())
        return all(
            set(allowed) & set(candidate.attributes.get(name, ())) for name, allowed in filters.items()
        )

    def allowed(self, filters: Filters, without: frozenset[str]) -> Rows:
        """Rows that pass the filters and are not among the ids `without`."""
        mask = np.ones(len(self), dtype=bool)
        for name, values in filters.items():
            mask &= self._mask(name, values)
        mask[[row for row in map(self.row, without) if row is not None]] = False
        return np.flatnonzero(mask)

    def nearest(self, rows: Rows, vector: Vectors, limit: int) -> Rows:
        """The `limit` rows with the greatest dot product, exactly; all of them if there are no more."""
        if len(rows) <= limit:
            return rows
        whole = len(rows) == len(self)
        products = self.items.vectors @ vector if whole else self.items.vectors[rows] @ vector
        return rows[np.argpartition(products, len(rows) - limit)[-limit:]]

    def stored(self, rows: Rows) -> Slate:
        """A slate of catalogue items."""
        return Slate(
            ids=[self.items.ids[row] for row in rows],
            rows=rows,
            vectors=self.items.vectors[rows],
            published=self.items.published[rows],
            codes={name: attribute.codes[rows] for name, attribute in self.items.attributes.items()},
            numbers={name: column[rows] for name, column in self.items.numbers.items()},
            outputs=self._outputs[rows],
        )

    def described(self, candidates: Sequence[Candidate], encoded: Vectors) -> Slate:
        """A slate of cold items, from the rows (n, d + W) that their texts were encoded to."""
        return Slate(
            ids=[candidate.item_id for candidate in candidates],
            rows=np.array([self.items.rows.get(candidate.item_id, -1) for candidate in candidates]),
            vectors=encoded[:, : self._width],
            published=np.array([candidate.published for candidate in candidates]),
            codes={name: self._codes(name, candidates) for name in self.items.attributes},
            numbers={name: _numbers(name, candidates) for name in self.items.numbers},
            outputs=encoded[:, self._width :],
        )

    def slate(self, candidates: Sequence[Candidate], encoded: Mapping[str, Vectors]) -> Slate:
        """Known and cold candidates in the order given; `encoded`: the row of each cold one's text."""
        rows = [None if each.text else self.row(each.item_id) for each in candidates]
        known = [n for n, row in enumerate(rows) if row is not None]
        stored = self.stored(np.array([row for row in rows if row is not None], dtype=np.int64))
        if len(known) == len(candidates):
            return stored
        cold = [each for each, row in zip(candidates, rows, strict=True) if row is None]
        described = self.described(cold, np.stack([encoded[each.text] for each in cold]))
        places = known + [n for n, row in enumerate(rows) if row is None]
        return _join(stored, described, np.argsort(places))

    def _codes(self, name: str, candidates: Sequence[Candidate]) -> NDArray[np.int32]:
        attribute = self.items.attributes[name]
        return _stack([attribute.encode(candidate.attributes.get(name, ())) for candidate in candidates])

    def _carries(self, name: str, values: tuple[str, ...]) -> NDArray[np.bool_]:
        """Which items have one of the values, (N,)."""
        attribute = self.items.attributes[name]
        wanted = np.zeros(len(attribute.values) + 1, dtype=bool)  # the last one is code -1: no value
        wanted[[attribute.index[value] for value in values if value in attribute.index]] = True
        return np.asarray(wanted[attribute.codes].any(axis=1))


def _join(first: Slate, second: Slate, order: Rows) -> Slate:
    ids = [*first.ids, *second.ids]
    return Slate(
        ids=[ids[n] for n in order],
        rows=np.concatenate([first.rows, second.rows])[order],
        vectors=np.concatenate([first.vectors, second.vectors])[order],
        published=np.concatenate([first.published, second.published])[order],
        codes={name: _stack([first.codes[name], second.codes[name]])[order] for name in first.codes},
        numbers={
            name: np.concatenate([first.numbers[name], second.numbers[name]])[order] for name in first.numbers
        },
        outputs=np.concatenate([first.outputs, second.outputs])[order],
    )


def _stack(blocks: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
    """Codes (n_i, K_i) one above the other, padded with -1 to the widest."""
    widest = max(block.shape[1] for block in blocks)
    return np.concatenate(
        [np.pad(block, ((0, 0), (0, widest - block.shape[1])), constant_values=-1) for block in blocks]
    )


def _numbers(name: str, candidates: Sequence[Candidate]) -> NDArray[np.float64]:
    return np.array([candidate.numbers.get(name, np.nan) for candidate in candidates])
