"""Whether an item's text has the words of a query: hashes of shingles, and what they say of a query and an item.

A shingle is a word in brackets, three letters of that, two words that stand side by side, or the last word:

    "Red mugs"   <red> <re red ed>   <mugs> <mu mug ugs gs>   red mugs   mugs .

An item is a row: how many hashes there are, how many words, then the 16-bit hashes of its distinct shingles, padded
with 0. Two shingles share a hash by chance once in 65,535. Three letters find what is inflected or spelled otherwise.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Shingles = NDArray[np.uint16]
Counts = NDArray[np.uint32]

HASHES = 65_535  # values of a hash, from 1 on
HEAD = 2  # columns of a row before its hashes
LIMIT = 256  # hashes of a row at most: those of some 40 words, with which its text ends here
BUCKETS = 1 << 18  # of words, to count the items that have them
MOST = 16  # words of a query that are looked at
CJK = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff"
WORD = re.compile(rf"\d+|[{CJK}]|[^\W\d_{CJK}]+")


def split(text: str) -> list[str]:
    """The words of a text in one case: letters, or digits, that stand together; of CJK each sign.

    >>> split("DeckOver 1-gal. 18V")
    ['deckover', '1', 'gal', '18', 'v']
    """
    return WORD.findall(text.casefold())


def shingled(texts: Sequence[str], width: int = HEAD) -> Shingles:
    """A row each, as wide as the longest, and `width` at least."""
    rows = [_row(split(text)) for text in texts]
    table = np.zeros((len(rows), max([width, *map(len, rows)])), dtype=np.uint16)
    for place, row in enumerate(rows):
        table[place, : len(row)] = row
    return table


def counted(texts: Iterable[str]) -> Counts:
    """How many texts have a word of each bucket, (BUCKETS,)."""
    counts = np.zeros(BUCKETS, dtype=np.uint32)
    for text in texts:
        counts[list({_bucket(word) for word in split(text)})] += 1
    return counts


@dataclass(frozen=True)
class Wording:
    """The words of a catalogue: rows (N, K) of its items, how many have a word of each bucket, (BUCKETS,)."""

    rows: Shingles
    counts: Counts

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Wording":
        """From the text of each item."""
        return cls(shingled(texts), counted(texts))

    def taken(self, order: Ints) -> "Wording":
        """The items in another order."""
        return Wording(self.rows[order], self.counts)

    def asked(self, query: str) -> "Asked":
        """A query, by how common its words are here."""
        words, size = split(query)[:MOST], len(self.rows)
        had = self.counts[[_bucket(word) for word in words]].astype(np.float64)
        return Asked(tuple(words), np.log((size + 1.0) / (np.minimum(had, size) + 1.0)))


@dataclass(frozen=True)
class Asked:
    """The words of a query, MOST at most, and how rare each is: logarithm of all items per item that has it, (Q,)."""

    words: tuple[str, ...]
    idf: Floats

    def told(self) -> Floats:
        """What is said of the query alone, (A,) in the order of ASKED; zeros if it has no word."""
        if not self.words:
            return np.zeros(len(ASKED))
        letters = sum(map(len, self.words))
        return np.array([np.log1p(len(self.words)), np.log1p(letters), self.idf.max(), self.idf.mean()])

    def matched(self, rows: Shingles) -> Floats:
        """What is said of the query and each item, rows (n, K): (M, n) in the order of MATCHES."""
        if len(rows) == 1:  # numpy adds up a single column in another order than one of many
            return self.matched(np.repeat(rows, 2, axis=0))[:, :1]
        found = np.zeros((len(MATCHES), len(rows)))
        if self.words and len(rows):
            self._match(rows, dict(zip(MATCHES, found, strict=True)))
        return found

    def _match(self, rows: Shingles, out: dict[str, Floats]) -> None:
        words, idf = self.words, self.idf
        sought = _Sought()
        whole = sought.places([f"<{word}>" for word in words])
        pairs = sought.places([f"{one} {other}" for one, other in pairwise(words)])
        ends = sought.places([f"{word} ." for word in words])
        parts = [sought.places(_grams(word)) for word in words]
        has = sought.found(rows)  # (S, n)
        hits, grams = has[whole], _shares(parts, has)  # (Q, n)
        # summed, not multiplied as matrices: those round by how many items there are
        weights, idf = (idf / max(idf.sum(), 1e-9))[:, None], idf[:, None]
        size = np.maximum(rows[:, 1], 1.0)
        out["words"][:], out["idf"][:] = hits.mean(axis=0), (weights * hits).sum(axis=0)
        out["grams"][:], out["gram_idf"][:] = grams.mean(axis=0), (weights * grams).sum(axis=0)
        out["least"][:], out["missed"][:] = grams.min(axis=0), ((1.0 - grams) * idf).max(axis=0)
        out["first"][:], out["last"][:], out["last_word"][:] = grams[0], grams[-1], hits[-1]
        out["end"][:] = has[ends].max(axis=0)
        out["of_item"][:] = has[sorted(set(whole))].sum(axis=0) / size
        out["item_words"][:] = np.log1p(size)
        if pairs:
            out["pairs"][:] = has[pairs].mean(axis=0)
        if digits := [place for place, word in zip(whole, words, strict=True) if word.isdigit()]:
            out["lacks_number"][:] = 1.0 - has[digits].mean(axis=0)


MATCHES = ("words", "idf", "grams", "gram_idf", "least", "missed", "first", "last", "last_word", "pairs", "end",
           "lacks_number", "of_item", "item_words")  # fmt: skip
ASKED = ("words", "letters", "rarest", "rarity")


class _Sought:
    """The hashes that a query looks for, each with its place."""

    def __init__(self) -> None:
        self._known: dict[int, int] = {}

    def places(self, shingles: Iterable[str]) -> list[int]:
        """Of shingles, each once for every time that it is named."""
        return [self._known.setdefault(_hash(each), len(self._known)) for each in shingles]

    def found(self, rows: Shingles) -> Floats:
        """1 where an item has one, (S, n)."""
        hashes = list(self._known)
        sought, place = np.zeros(HASHES + 1, dtype=bool), np.zeros(HASHES + 1, dtype=np.int64)
        sought[hashes], place[hashes] = True, np.arange(len(hashes))
        width = int(rows[:, 0].max())
        held = np.ascontiguousarray(rows[:, HEAD : HEAD + width]).reshape(-1)
        met = np.flatnonzero(sought.take(held))
        has = np.zeros((len(hashes), len(rows)))
        has[place[held[met]], met // max(width, 1)] = 1.0
        return has


def _shares(parts: Sequence[Sequence[int]], has: Floats) -> Floats:
    """Of some parts the share that an item has: parts (Q, ·) of places among has (S, n) -> (Q, n)."""
    counts = np.zeros((len(parts), len(has)))
    for number, each in enumerate(parts):
        np.add.at(counts[number], each, 1.0)
    shares: Floats = (counts @ has) / counts.sum(axis=1, keepdims=True)
    return shares


def _row(words: Sequence[str]) -> list[int]:
    hashes = list(dict.fromkeys(map(_hash, _shingles(words))))[:LIMIT]
    return [len(hashes), min(len(words), HASHES), *hashes]


def _shingles(words: Sequence[str]) -> Iterator[str]:
    """The last word first, so that a long text keeps it."""
    if words:
        yield f"{words[-1]} ."
    before = ""
    for word in words:
        yield f"<{word}>"
        yield from _grams(word)
        if before:
            yield f"{before} {word}"
        before = word


def _grams(word: str) -> list[str]:
    marked = f"<{word}>"
    return [marked[start : start + 3] for start in range(len(marked) - 2)]


def _hash(shingle: str) -> int:
    return crc32(shingle.encode()) % HASHES + 1


def _bucket(word: str) -> int:
    return crc32(word.encode()) % BUCKETS
