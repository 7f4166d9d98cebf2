"""The catalogue inside a bundle: ids, vectors, attributes, times and item-only outputs, memory-mapped.

items.ids.json          ["i1", "i2", ...]
items.vectors.npy       (N, d), items.experts.npy (N, E · hidden), items.rest.npy (N, R), items.silent.npy (N, Wq),
                        float32: see parts.py
items.published.npy     (N,) float64, unix seconds, NaN where unknown
items.attributes.json   [{"name": "category", "values": ["shoes", ...]}, ...]
items.codes.<k>.npy     (N, K) int32 into the values of attribute k, padded with -1
items.outputs.npy       (N, W) float32, the item-only tasks side by side, in the manifest's order
items.numbers.json      {"price": [12.5, null, ...], ...} where the features read numbers of the items
items.shingles.npy      (N, K) uint16 and items.words.npy: see words.py, where the features read words
items.statistics.npy    (N,) records of counters.py, as the log ended, where the features count events
items.cells.npy         with items.centres.npy: the index of a large catalogue, see index.py
items.jsonl             the rendered text of each item, read by `verify` alone
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from mmap import PAGESIZE
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.clock import Times
from model_store.counters import Records
from model_store.parts import Parts, Rows
from model_store.words import Shingles, Wording

OTHER = -2  # the place of a value that is not among the known ones
PARTS = ("vectors", "experts", "rest", "silent")
NUMBERS, STATISTICS = "items.numbers.json", "items.statistics.npy"
SHINGLES, WORDS = "items.shingles.npy", "items.words.npy"
TOUCHED = 8 << 20  # bytes looked at in one step: about a millisecond


@dataclass(frozen=True)
class Attribute:
    """One attribute of all items: its distinct values, and codes (N, K) into them, -1 for none."""

    values: tuple[str, ...]
    codes: NDArray[np.int32]

    @cached_property
    def index(self) -> dict[str, int]:
        """Value to code."""
        return {value: code for code, value in enumerate(self.values)}

    @cached_property
    def _carriers(self) -> tuple[Rows, Rows]:
        """The rows that carry value 0, then those of value 1 and so on, ascending, and where each value's begin."""
        codes = self.codes.reshape(-1)
        order = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[order], np.arange(len(self.values) + 1))
        return order // max(1, self.codes.shape[1]), starts

    def rows(self, values: Sequence[str]) -> Rows:
        """The rows of items that have one of the values, ascending."""
        rows, starts = self._carriers
        known = [self.index[value] for value in values if value in self.index]
        parts = [rows[starts[code] : starts[code + 1]] for code in known]
        return parts[0] if len(parts) == 1 else np.unique(np.concatenate([rows[:0], *parts]))

    def having(self, values: Sequence[str], rows: Rows) -> NDArray[np.bool_]:
        """Which of these rows (n,) have one of the values, (n,)."""
        wanted = np.zeros(len(self.values) + 1, dtype=bool)  # the last one is code -1: no value
        wanted[[self.index[value] for value in values if value in self.index]] = True
        return np.asarray(wanted[self.codes[rows]].any(axis=1))

    def places(self, known: Sequence[str]) -> NDArray[np.int64]:
        """For each code, (V + 1,), its place in the known values, -2 for another; the last one is that of code -1."""
        place = {value: number for number, value in enumerate(known)}
        return np.array([*(place.get(value, OTHER) for value in self.values), OTHER], dtype=np.int64)

    def encode(self, values: Sequence[str]) -> NDArray[np.int32]:
        """Codes (1, K) of one item's values; values never seen are left out, none at all is -1."""
        known = [self.index[value] for value in values if value in self.index] or [-1]
        return np.array([known], dtype=np.int32)

    @classmethod
    def of(cls, rows: Sequence[Sequence[str]]) -> "Attribute":
        """From each item's list of values."""
        values = tuple(sorted({value for row in rows for value in row}))
        index = {value: code for code, value in enumerate(values)}
        codes = np.full((len(rows), max([1, *map(len, rows)])), -1, dtype=np.int32)
        for number, row in enumerate(rows):
            codes[number, : len(row)] = [index[value] for value in row]
        return cls(values, codes)


@dataclass(frozen=True)
class Items:
    """N items by row number."""

    ids: tuple[str, ...]
    parts: Parts
    published: Times
    attributes: dict[str, Attribute] = field(default_factory=dict)
    outputs: NDArray[np.float32] | None = None
    numbers: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    statistics: Records | None = None
    wording: Wording | None = None

    @property
    def vectors(self) -> NDArray[np.float32]:
        """(N, d)."""
        return self.parts.vectors

    @property
    def shingles(self) -> Shingles:
        """(N, K) of their texts, K 0 where no feature reads words."""
        return np.zeros((len(self), 0), np.uint16) if self.wording is None else self.wording.rows

    @cached_property
    def rows(self) -> dict[str, int]:
        """Item id to row number."""
        return {item: row for row, item in enumerate(self.ids)}

    def __len__(self) -> int:
        return len(self.ids)

    def touched(self) -> Iterator[None]:
        """Look at every page of the arrays, some of them a step: no request waits for its first look at one."""
        codes = (attribute.codes for attribute in self.attributes.values())
        for array in (*self.parts, self.published, self.outputs, self.statistics, self.shingles, *codes):
            if array is not None:
                held = array.reshape(-1).view(np.uint8)
                for start in range(0, len(held), TOUCHED):
                    held[start : start + TOUCHED : PAGESIZE].max()
                    yield

    def taken(self, order: Rows) -> "Items":
        """Some of the items, in this order."""
        return Items(
            ids=tuple(self.ids[row] for row in order.tolist()),
            parts=self.parts.at(order),
            published=self.published[order],
            attributes={
                name: Attribute(each.values, each.codes[order]) for name, each in self.attributes.items()
            },
            outputs=None if self.outputs is None else self.outputs[order],
            numbers={name: column[order] for name, column in self.numbers.items()},
            statistics=None if self.statistics is None else self.statistics[order],
            wording=None if self.wording is None else self.wording.taken(order),
        )


def read(folder: Path) -> Items:
    """Open the item files of a bundle; arrays stay on disk until touched."""
    attributes = {
        entry["name"]: Attribute(tuple(entry["values"]), mapped(folder / f"items.codes.{number}.npy"))
        for number, entry in enumerate(json.loads((folder / "items.attributes.json").read_bytes()))
    }
    numbers = json.loads((folder / NUMBERS).read_bytes()) if (folder / NUMBERS).is_file() else {}
    counted, worded = (folder / STATISTICS).is_file(), (folder / SHINGLES).is_file()
    return Items(
        ids=tuple(json.loads((folder / "items.ids.json").read_bytes())),
        parts=Parts(*(mapped(folder / f"items.{name}.npy") for name in PARTS)),
        published=mapped(folder / "items.published.npy"),
        attributes=attributes,
        outputs=mapped(folder / "items.outputs.npy"),
        numbers={name: np.array(values, dtype=np.float64) for name, values in numbers.items()},
        statistics=mapped(folder / STATISTICS) if counted else None,
        wording=Wording(mapped(folder / SHINGLES), mapped(folder / WORDS)) if worded else None,
    )


def write(items: Items, folder: Path, *, texts: Sequence[str]) -> None:
    """Write the item files into the folder of a bundle in the making."""
    names = [{"name": name, "values": attribute.values} for name, attribute in items.attributes.items()]
    (folder / "items.ids.json").write_text(json.dumps(items.ids))
    (folder / "items.attributes.json").write_text(json.dumps(names))
    for name, part in zip(PARTS, items.parts, strict=True):
        np.save(folder / f"items.{name}.npy", part.astype(np.float32))
    np.save(folder / "items.published.npy", items.published.astype(np.float64))
    outputs = items.outputs if items.outputs is not None else np.zeros((len(items), 0))
    np.save(folder / "items.outputs.npy", outputs.astype(np.float32))
    for number, attribute in enumerate(items.attributes.values()):
        np.save(folder / f"items.codes.{number}.npy", attribute.codes)
    if items.numbers:
        told = {name: [_number(value) for value in values] for name, values in items.numbers.items()}
        (folder / NUMBERS).write_text(json.dumps(told))
    if items.statistics is not None:
        np.save(folder / STATISTICS, items.statistics)
    if items.wording is not None:
        np.save(folder / SHINGLES, items.wording.rows)
        np.save(folder / WORDS, items.wording.counts)
    with (folder / "items.jsonl").open("w") as file:
        for item, text in zip(items.ids, texts, strict=True):
            file.write(json.dumps({"item_id": item, "text": text}, ensure_ascii=False) + "\n")


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def mapped(path: Path) -> Any:
    """An array of a bundle: the file in memory, which all processes that map it share."""
    if path.stat().st_size < 1 << 16:  # an empty array cannot be mapped, a small one need not be
        return np.load(path, allow_pickle=False)
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))  # not a memmap: that is slow to index
