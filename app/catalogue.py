"""The items that can be recommended: those of the bundle, those put since, and cold ones that a request describes.

    rows   0 ... N-1   the bundle's table, which nothing changes; some of it is gone, deleted or replaced
           N ...       the overlay: items that were put at runtime

The event loop's thread changes it, others read meanwhile. As long as nothing was changed no request pays for it.
"""

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from app.candidates import Candidates, Described, Filters
from app.ids import Ids
from app.overlay import Mask, Overlay
from app.slate import Codes, Columns, Slate
from model_store.index import Exact, Found, Index, best
from model_store.items import Items
from model_store.manifest import Manifest
from model_store.parts import Parted, Rows, Vectors
from model_store.words import shingled

GONE = -1
LATEST = 1_000  # changes that are remembered one by one


class Catalogue:
    """The items of one bundle, and what was changed since.

    edition: how many changes there were; runtime: how many items were put.
    """

    def __init__(
        self, items: Items, manifest: Manifest, parted: Parted, *, index: Index | None = None
    ) -> None:
        self.items = items
        self._ids = Ids(items.rows, len(items))
        self._parted = parted
        self._index = Exact(items.vectors) if index is None else index
        self.edition = self.runtime = 0
        self._latest: deque[str] = deque(maxlen=LATEST)  # ids, one an edition
        self._overlay = Overlay(items, parted)
        self._changed: dict[str, int] = {}  # id to row, or to GONE for one of the bundle that was deleted
        self._gone: Mask | None = None  # rows of the bundle, (N,)
        self._width = manifest.dimension
        self._overlaid = False  # the columns tell of the overlay too
        self._columns = Columns(
            ids=items.ids,
            parts=tuple(items.parts),
            published=items.published,
            codes={name: attribute.codes for name, attribute in items.attributes.items()},
            numbers=items.numbers,
            outputs=np.zeros((len(items), 0), np.float32) if items.outputs is None else items.outputs,
            shingles=items.shingles,
        )

    def __len__(self) -> int:
        gone = 0 if self._gone is None else int(self._gone.sum())
        return len(self.items) - gone + self.runtime

    @property
    def deleted(self) -> int:
        """How many items of the bundle were deleted."""
        return len(self._changed) - self.runtime

    @property
    def ids(self) -> Sequence[str]:
        """Of all items, those put at runtime last."""
        if not self._changed:
            return self.items.ids
        put = [item for item, row in self._changed.items() if row != GONE]
        return [item for item in self.items.ids if item not in self._changed] + put

    @property
    def span(self) -> int:
        """One more than the greatest row."""
        return len(self.items) + self._overlay.used

    def put(self, item: Described, encoded: Vectors) -> None:
        """Add an item, or replace it; encoded (d + W,): what its text was encoded to."""
        before, row = self._changed.get(item.item_id, GONE), self._overlay.put(item, encoded)
        if not self._overlaid:
            self._columns, self._overlaid = self._overlay.above(self._columns), True
        self._changed[item.item_id] = row
        self.runtime += 1
        self._leave(item.item_id, before)

    def delete(self, item_id: str) -> None:
        """It is never found again, unless it is put."""
        before = self._changed.pop(item_id, GONE)
        if item_id in self.items.rows:
            self._changed[item_id] = GONE
        self._leave(item_id, before)

    def encoded(self, item_id: str) -> Vectors:
        """What the text of an item that was put was encoded to, (d + W,)."""
        row = np.array([self._changed[item_id]])
        return np.concatenate([self.vectors(row)[0], self._columns.outputs.take(row, axis=0)[0]])

    def touched(self, items: Collection[str], since: int) -> bool:
        """Whether any of these ids was put or deleted after that edition; if it was long ago, it may have been."""
        later = self.edition - since
        return later > len(self._latest) or not {*islice(reversed(self._latest), later)}.isdisjoint(items)

    def row(self, item_id: str) -> int | None:
        """Row of an item of a history, None if it is unknown; one of the bundle still counts when it was deleted."""
        changed = self._changed.get(item_id, GONE)
        return self.items.rows.get(item_id) if changed == GONE else changed

    def __contains__(self, item_id: str) -> bool:
        return self._changed.get(item_id, self.items.rows.get(item_id, GONE)) != GONE

    def places(self, ids: Sequence[str]) -> Rows:
        """Row numbers of items (n,), -1 for an unknown or deleted one."""
        rows = self._ids.find(ids)
        if self._changed:
            rows = np.fromiter(map(self._changed.get, ids, rows.tolist()), np.int64, len(ids))
        return rows

    def passing(self, given: Candidates, rows: Rows, filters: Filters) -> NDArray[np.bool_]:
        """Which candidates, at rows (n,), are known and have an allowed value of every filtered attribute, (n,)."""
        passing = rows >= 0
        for name, allowed in filters.items():
            passing &= self._having(name, allowed, rows)
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
        rows, size, gone = self._allowed(filters), limit + len(hide), self._gone
        if rows is None:
            found, products = self._index.nearest(vector, size, gone)
        else:
            found, products = self._index.among(rows, vector, size, gone)
        if self._changed:
            found, products = self._merged((found, products), self._overlay.nearest(vector, size, filters))
        if len(hide):
            shown = ~np.isin(found, hide)
            found, products = found[shown], products[shown]
        return np.sort(best(found, products, limit)[0])

    def named(self, rows: Rows) -> list[str]:
        """The ids of rows."""
        ids = self._columns.ids
        return [ids[row] for row in rows.tolist()]

    def vectors(self, rows: Rows) -> Vectors:
        """(n, d)."""
        return self._columns.parts[0].take(rows, axis=0)

    def codes(self, name: str, rows: Rows) -> Codes:
        """Of an attribute, (n, K), padded with -1."""
        return self._columns.codes[name].take(rows, axis=0)

    def values(self, name: str) -> int:
        """How many values an attribute has: codes are below."""
        return self._overlay.sizes(name)

    def named_values(self, name: str, codes: Codes) -> list[str]:
        """Values of an attribute by their codes (K,)."""
        values = self._overlay.values(name)
        return [values[code] for code in codes.tolist() if code >= 0]

    def bundled(self, rows: Rows) -> Rows:
        """The row of each one's id in the bundle, -1 if it is not there."""
        return self._mapped(rows, self._overlay.bundled)

    def signatures(self, rows: Rows) -> Rows:
        """A number for each one's vector, the same in every process with this bundle."""
        return self._mapped(rows, self._overlay.signatures)

    def stored(self, rows: Rows, ids: Sequence[str] | None = None) -> Slate:
        """A slate of catalogue items; `ids`: theirs, if they are at hand."""
        return Slate(rows, self._columns, rows, ids)

    def described(self, candidates: Sequence[Described], encoded: Vectors) -> Columns:
        """Cold items, from the rows (n, d + W) that their texts were encoded to."""
        texts = [candidate.text for candidate in candidates]
        return Columns(
            ids=[candidate.item_id for candidate in candidates],
            parts=tuple(self._parted(encoded[:, : self._width])),
            published=np.array([candidate.published for candidate in candidates]),
            codes={name: self._codes(name, candidates) for name in self.items.attributes},
            numbers={name: _numbers(name, candidates) for name in self.items.numbers},
            outputs=encoded[:, self._width :],
            shingles=shingled(texts) if self.items.wording else np.zeros((len(texts), 0), np.uint16),
        )

    def slate(self, given: Candidates, rows: Rows, encoded: Mapping[str, Vectors]) -> Slate:
        """Candidates at their rows (n,), in the order given; `encoded`: the row of each described one's text."""
        if not given.described:
            return self.stored(rows, given.ids)
        new = [n for n, item in enumerate(given.ids) if item in given.described]
        items = [given.described[given.ids[n]] for n in new]
        described = self.described(items, np.stack([encoded[each.text] for each in items]))
        span, places = self.span, rows.copy()
        places[new] = span + np.arange(len(new))
        return Slate(rows, self._columns.above(lambda: described, span), places, given.ids)

    def _leave(self, item_id: str, before: int) -> None:
        """Let go of the rows that an id had."""
        if before != GONE:
            self._overlay.leave(before)
            self.runtime -= 1
        if item_id in self.items.rows:
            if self._gone is None:
                self._gone = np.zeros(len(self.items), dtype=bool)
            self._gone[self.items.rows[item_id]] = True
        self._latest.append(item_id)
        self.edition += 1

    def _late(self, rows: Rows) -> Mask | None:
        """Which rows are of the overlay, (n,); None if none is."""
        if not self._overlay.used:
            return None
        late = rows >= self._overlay.first
        return late if late.any() else None

    def _mapped(self, rows: Rows, mapping: Callable[[Rows], Rows]) -> Rows:
        """The rows with those of the overlay mapped to something else."""
        late = self._late(rows)
        if late is None:
            return rows
        found = rows.copy()
        found[late] = mapping(rows[late])
        return found

    def _merged(self, found: Found, more: Found) -> Found:
        """Both, without what has gone since it was found."""
        rows, products = np.concatenate([found[0], more[0]]), np.concatenate([found[1], more[1]])
        live = np.ones(len(rows), dtype=bool)
        if self._gone is not None:
            live[: len(found[0])] = ~self._gone[found[0]]
        live[len(found[0]) :] = self._overlay.live(more[0])
        return rows[live], products[live]

    def _having(self, name: str, values: tuple[str, ...], rows: Rows) -> Mask:
        late = self._late(rows)
        if late is None:
            return self.items.attributes[name].having(values, rows)
        found = np.zeros(len(rows), dtype=bool)
        found[~late] = self.items.attributes[name].having(values, rows[~late])
        found[late] = self._overlay.having(name, values, rows[late])
        return found

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


def _stack(blocks: Sequence[Codes]) -> Codes:
    """Codes (n_i, K_i) one above the other, padded with -1 to the widest."""
    widest = max(block.shape[1] for block in blocks)
    return np.concatenate(
        [np.pad(block, ((0, 0), (0, widest - block.shape[1])), constant_values=-1) for block in blocks]
    )


def _numbers(name: str, candidates: Sequence[Described]) -> NDArray[np.float64]:
    return np.array([candidate.numbers.get(name, np.nan) for candidate in candidates])
