"""The items that can be recommended: those of the bundle, and cold ones that a request describes."""

from collections.abc import Mapping, Sequence
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from app.candidates import Candidates, Described
from app.slate import Codes, Columns, Rows, Slate, Vectors
from model_store.index import Exact, Index, best
from model_store.items import Items
from model_store.manifest import Manifest

Filters = Mapping[str, tuple[str, ...]]


class Catalogue:
    """The items of one bundle."""

    def __init__(self, items: Items, manifest: Manifest, index: Index | None = None) -> None:
        self.items = items
        self._index = Exact(items.vectors) if index is None else index
        self._width = manifest.dimension
        self._columns = Columns(
            ids=items.ids,
            vectors=items.vectors,
            published=items.published,
            codes={name: attribute.codes for name, attribute in items.attributes.items()},
            numbers=items.numbers,
            outputs=np.zeros((len(items), 0), np.float32) if items.outputs is None else items.outputs,
        )

    def __len__(self) -> int:
        return len(self.items)

    def row(self, item_id: str) -> int | None:
        """Row number of an item, None if it is unknown."""
        return self.items.rows.get(item_id)

    def places(self, ids: Sequence[str]) -> Rows:
        """Row numbers of items (n,), -1 for an unknown one."""
        return np.array(list(map(self.items.rows.get, ids, repeat(-1))), dtype=np.int64)

    def known(self, given: Candidates) -> list[str]:
        """The ids of candidates that can be scored: in the catalogue, or described."""
        return [item for item in given.ids if item in self.items.rows or item in given.described]

    def passing(self, given: Candidates, rows: Rows, filters: Filters) -> NDArray[np.bool_]:
        """Which candidates, at rows (n,), are known and have an allowed value of every filtered attribute, (n,)."""
        passing = rows >= 0
        for name, allowed in filters.items():
            passing &= self.items.attributes[name].having(allowed, rows)
        for item, described in given.described.items():
            passing[given.ids.index(item)] = all(
                set(allowed) & set(described.attributes.get(name, ())) for name, allowed in filters.items()
            )
        return passing

    def nearest(self, vector: Vectors, limit: int, filters: Filters, hidden: frozenset[str]) -> Rows:
        """The `limit` rows with the greatest dot product of those that pass the filters, but for the ids `hidden`.

        They ascend; all of them if there are no more.
        """
        hide = self.places(list(hidden))
        rows, size = self._allowed(filters), limit + len(hide)
        index = self._index
        found, products = index.nearest(vector, size) if rows is None else index.among(rows, vector, size)
        if len(hide):
            shown = ~np.isin(found, hide)
            found, products = found[shown], products[shown]
        return np.sort(best(found, products, limit)[0])

    def stored(self, rows: Rows, ids: Sequence[str] | None = None) -> Slate:
        """A slate of catalogue items; `ids`: theirs, if they are at hand."""
        return Slate(rows, self._columns, rows, ids)

    def described(self, candidates: Sequence[Described], encoded: Vectors) -> Columns:
        """Cold items, from the rows (n, d + W) that their texts were encoded to."""
        return Columns(
            ids=[candidate.item_id for candidate in candidates],
            vectors=encoded[:, : self._width],
            published=np.array([candidate.published for candidate in candidates]),
            codes={name: self._codes(name, candidates) for name in self.items.attributes},
            numbers={name: _numbers(name, candidates) for name in self.items.numbers},
            outputs=encoded[:, self._width :],
        )

    def slate(self, given: Candidates, rows: Rows, encoded: Mapping[str, Vectors]) -> Slate:
        """Candidates at their rows (n,), in the order given; `encoded`: the row of each described one's text."""
        if not given.described:
            return self.stored(rows, given.ids)
        cold = [item in given.described for item in given.ids]
        warm = [n for n, described in enumerate(cold) if not described]
        new = [n for n, described in enumerate(cold) if described]
        items = [given.described[given.ids[n]] for n in new]
        described = self.described(items, np.stack([encoded[each.text] for each in items]))
        joined = _join(self._columns, rows[warm], described)
        return Slate(rows, joined, np.argsort(np.array(warm + new)), given.ids)

    def _codes(self, name: str, candidates: Sequence[Described]) -> Codes:
        attribute = self.items.attributes[name]
        return _stack([attribute.encode(candidate.attributes.get(name, ())) for candidate in candidates])

    def _allowed(self, filters: Filters) -> Rows | None:
        """The rows that pass the filters, ascending; None: all of them."""
        passing: Rows | None = None
        for name, values in filters.items():
            each = self.items.attributes[name]
            passing = each.rows(values) if passing is None else passing[each.having(values, passing)]
        return passing


def _join(columns: Columns, rows: Rows, more: Columns) -> Columns:
    """Some rows of the columns, and more below them."""
    return Columns(
        ids=[*(columns.ids[row] for row in rows.tolist()), *more.ids],
        vectors=np.concatenate([columns.vectors[rows], more.vectors]),
        published=np.concatenate([columns.published[rows], more.published]),
        codes={name: _stack([codes[rows], more.codes[name]]) for name, codes in columns.codes.items()},
        numbers={
            name: np.concatenate([column[rows], more.numbers[name]])
            for name, column in columns.numbers.items()
        },
        outputs=np.concatenate([columns.outputs[rows], more.outputs]),
    )


def _stack(blocks: Sequence[Codes]) -> Codes:
    """Codes (n_i, K_i) one above the other, padded with -1 to the widest."""
    widest = max(block.shape[1] for block in blocks)
    return np.concatenate(
        [np.pad(block, ((0, 0), (0, widest - block.shape[1])), constant_values=-1) for block in blocks]
    )


def _numbers(name: str, candidates: Sequence[Described]) -> NDArray[np.float64]:
    return np.array([candidate.numbers.get(name, np.nan) for candidate in candidates])
