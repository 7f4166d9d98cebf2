"""Items that were put at runtime: rows behind those of the bundle, in arrays that grow.

One thread writes, the event loop's; others read meanwhile. A row is filled before it is live, and once it is live no
more it stays as it is for a minute: longer than a request that has found it needs it. Arrays that are full are
replaced by larger ones with the same rows.
"""

import hashlib
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.candidates import Described, Filters
from app.slate import Columns
from model_store.index import Found, best
from model_store.items import Items
from model_store.parts import Parted, Rows, Vectors
from model_store.words import HEAD, LIMIT, shingled

Mask = NDArray[np.bool_]

REST_SECONDS = 60.0
LEAST = 64  # rows of the first arrays; doubled when they are full


class Overlay:
    """Rows N, N + 1, ... of a catalogue whose bundle has N.

    parted: makes of vectors what the heads read; rest: seconds before a row that was left is filled again. Values of
    attributes that the bundle does not know get codes behind its own.
    """

    def __init__(self, items: Items, parted: Parted, rest: float = REST_SECONDS) -> None:
        self._rest = rest
        self.first = len(items)
        self.used = 0
        self._items = items
        self._parted = parted
        self._codes = {name: dict(each.index) for name, each in items.attributes.items()}
        self._ids: list[str] = []
        self._resting: deque[tuple[float, int]] = deque()
        outputs = 0 if items.outputs is None else items.outputs.shape[1]
        self._arrays: dict[str, NDArray[Any]] = {
            **{name: np.zeros((0, part.shape[1]), np.float32) for name, part in vars(items.parts).items()},
            "outputs": np.zeros((0, outputs), np.float32),
            "published": np.zeros(0),
            "shingles": np.zeros((0, HEAD + LIMIT if items.wording else 0), np.uint16),
            "bundled": np.zeros(0, np.int64),
            "signature": np.zeros(0, np.int64),
            "live": np.zeros(0, bool),
            **{f"codes:{name}": np.zeros((0, 1), np.int32) for name in items.attributes},
            **{f"numbers:{name}": np.zeros(0) for name in items.numbers},
        }
        self._columns = self._told()

    def put(self, item: Described, encoded: Vectors) -> int:
        """Fill a row, which is its number; encoded (d + W,): what the text was encoded to."""
        codes = {name: self._encoded(name, item.attributes.get(name, ())) for name in self._codes}
        place = self._free()
        self._widen(codes)
        arrays, width = self._arrays, self._arrays["vectors"].shape[1]
        self._ids[place] = item.item_id
        for name, part in vars(self._parted(encoded[None, :width])).items():
            arrays[name][place] = part[0]
        arrays["outputs"][place] = encoded[width:]
        arrays["published"][place] = item.published
        if self._items.wording:
            arrays["shingles"][place] = shingled([item.text], HEAD + LIMIT)[0]
        arrays["bundled"][place] = self._items.rows.get(item.item_id, -1)
        arrays["signature"][place] = _signature(encoded[:width])
        for name, each in codes.items():
            row = arrays[f"codes:{name}"][place]
            row[:] = -1
            row[: len(each)] = each
        for name in self._items.numbers:
            arrays[f"numbers:{name}"][place] = item.numbers.get(name, np.nan)
        arrays["live"][place] = True
        self.used = max(self.used, place + 1)
        return self.first + place

    def leave(self, row: int) -> None:
        """A row is live no more."""
        self._arrays["live"][row - self.first] = False
        self._resting.append((time.monotonic(), row - self.first))

    def nearest(self, vector: Vectors, limit: int, filters: Filters) -> Found:
        """The best live rows that pass the filters, and their products."""
        used, arrays = self.used, self._arrays
        rows = self.first + np.flatnonzero(arrays["live"][:used])
        for name, values in filters.items():
            rows = rows[self.having(name, values, rows)]
        products = arrays["vectors"][:used] @ vector
        return best(rows, products[rows - self.first], limit)

    def having(self, name: str, values: Sequence[str], rows: Rows) -> Mask:
        """Which rows (n,) have one of the values of an attribute, (n,)."""
        known = self._codes[name]
        wanted = [known[value] for value in values if value in known]
        codes = self._arrays[f"codes:{name}"][rows - self.first]
        return np.asarray(np.isin(codes, wanted).any(axis=1))

    def above(self, columns: Columns) -> Columns:
        """The columns of the bundle, and behind them what is known of these rows, and of those put later."""
        return columns.above(lambda: self._columns, self.first)

    def live(self, rows: Rows) -> Mask:
        """Which rows can be found, (n,)."""
        return np.asarray(self._arrays["live"][rows - self.first])

    def bundled(self, rows: Rows) -> Rows:
        """The row of each one's id in the bundle, -1 if it is not there."""
        return np.asarray(self._arrays["bundled"][rows - self.first])

    def signatures(self, rows: Rows) -> Rows:
        """A number for each one's vector, the same in every process, and none that a row has."""
        return np.asarray(self._arrays["signature"][rows - self.first])

    def values(self, name: str) -> Sequence[str]:
        """The values of an attribute by their codes, those of the bundle first."""
        return list(self._codes[name])

    def sizes(self, name: str) -> int:
        """How many values an attribute has."""
        return len(self._codes[name])

    def _encoded(self, name: str, values: Sequence[str]) -> list[int]:
        known = self._codes[name]
        return [known.setdefault(value, len(known)) for value in values]

    def _free(self) -> int:
        """A place that nobody reads."""
        if self._resting and self._resting[0][0] < time.monotonic() - self._rest:
            return self._resting.popleft()[1]
        if len(self._ids) == len(self._arrays["live"]):
            size = max(LEAST, 2 * len(self._ids))
            self._arrays = {name: _grown(each, size) for name, each in self._arrays.items()}
            self._columns = self._told()
        self._ids.append("")
        return len(self._ids) - 1

    def _widen(self, codes: Mapping[str, Sequence[int]]) -> None:
        """Make room for an item with more values of an attribute than any before."""
        for name, each in codes.items():
            held = self._arrays[f"codes:{name}"]
            if len(each) > held.shape[1]:
                wider = np.pad(held, ((0, 0), (0, len(each) - held.shape[1])), constant_values=-1)
                self._arrays = self._arrays | {f"codes:{name}": wider}
                self._columns = self._told()

    def _told(self) -> Columns:
        """All rows of the arrays, which is more than are used."""
        arrays = self._arrays
        return Columns(
            ids=self._ids,
            parts=tuple(arrays[name] for name in vars(self._items.parts)),
            published=arrays["published"],
            codes={name: arrays[f"codes:{name}"] for name in self._codes},
            numbers={name: arrays[f"numbers:{name}"] for name in self._items.numbers},
            outputs=arrays["outputs"],
            shingles=arrays["shingles"],
        )


def _grown(array: NDArray[Any], size: int) -> NDArray[Any]:
    more = np.zeros((size - len(array), *array.shape[1:]), array.dtype)
    return np.concatenate([array, more])


def _signature(vector: Vectors) -> int:
    digest = hashlib.blake2b(vector.astype("<f4").tobytes(), digest_size=8).digest()
    return -1 - (int.from_bytes(digest, "little") >> 1)
