"""The lists that were shown to a user, as Redis keeps them: one entry a list.

entry   time float64 · mark of each item, 8 bytes      little-endian, in the order shown

A mark is a hash of the item's id: lists need no ids, only whether one is in them.
"""

import hashlib
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from model_store.clock import Times
from model_store.moment import SHOWN_LISTS, SHOWN_SECONDS, Ints, Met, met

KEPT = 2 * SHOWN_LISTS  # some came out of order, some lie after the moment that is asked about
SECONDS = int(SHOWN_SECONDS) + 86_400
WORD = 8

Shown = tuple[float, tuple[str, ...]]  # unix seconds, items


def mark(item: str) -> bytes:
    """The mark of an item."""
    return hashlib.blake2b(item.encode(), digest_size=WORD).digest()


def marks(items: Sequence[str]) -> Ints:
    """The marks of items as numbers, (n,)."""
    return np.frombuffer(b"".join(map(mark, items)), dtype="<i8").astype(np.int64)


def pack(time: float, items: Sequence[str]) -> bytes:
    """One list as an entry."""
    return struct.pack("<d", time) + b"".join(map(mark, items))


def read(entries: Sequence[Any], now: float) -> tuple[Ints, Times]:
    """Marks and times (m,) of what the newest lists before `now` held; entries: newest first, as they came."""
    whole = [each for each in reversed(entries) if isinstance(each, bytes) and _fits(each)]
    sizes = np.array([len(each) // WORD for each in whole], dtype=np.int64)
    words = b"".join(whole)
    starts = np.cumsum(sizes) - sizes
    times = np.frombuffer(words, dtype="<f8")[starts]
    recent = np.flatnonzero((times < now) & (times >= now - SHOWN_SECONDS))
    newest = recent[np.argsort(times[recent], kind="stable")[-SHOWN_LISTS:]]  # of equals those that came last
    kept = np.zeros(len(whole), dtype=bool)
    kept[newest] = True
    inside = np.repeat(kept, sizes)
    inside[starts] = False  # the time, not a mark
    return np.frombuffer(words, dtype="<i8")[inside], np.repeat(times, sizes)[inside]


def meetings(items: Ints, owners: Ints, entries: Sequence[Sequence[Any]], now: Times) -> Met:
    """How often each item, by its mark (n,), was in the lists of its owner (n,), and when last.

    entries, now: of each of the G owners at a moment of theirs.
    """
    read_ones = [read(each, moment) for each, moment in zip(entries, now.tolist(), strict=True)]
    marked = np.concatenate([each for each, _ in read_ones])
    times = np.concatenate([each for _, each in read_ones])
    whose = np.repeat(np.arange(len(entries)), [len(each) for each, _ in read_ones])
    known, items = np.unique(items, return_inverse=True)
    places = np.searchsorted(known, marked)
    held = known[np.minimum(places, len(known) - 1)] == marked
    past = whose[held] * len(known) + places[held]
    return met(owners * len(known) + items, past, times[held])


def _fits(entry: bytes) -> bool:
    return len(entry) >= 2 * WORD and len(entry) % WORD == 0
