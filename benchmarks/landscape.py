"""Made-up vectors of a large catalogue, and what users would look for in it.

An item is its category, its family and itself, in directions of which few carry most: as far from its neighbours as
the items of the Home Depot bundle are (cosine 0.7 to the tenth, 0.5 to the hundredth). A search is a user who likes
one to three categories, every second one with a query beside.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

DIMENSION = 128
CATEGORIES, FAMILY = 300, 60  # and items of a family, on average
SHARES = (0.55, 0.55, 0.6)  # of category, family and item
WEIGHTS = (1.5, 2.0)  # of user and query, as trained bundles have them
CHUNK = 100_000


@dataclass(frozen=True)
class Landscape:
    """vectors (N, d) of unit length; searches (S, d)."""

    vectors: Vectors
    searches: Vectors


def landscape(items: int, searches: int, seed: int = 0) -> Landscape:
    """The same for the same seed."""
    random = np.random.default_rng(seed)
    families = max(1, items // FAMILY)
    of_family = random.choice(CATEGORIES, families, p=_falling(CATEGORIES, 0.7))
    family = random.choice(families, items, p=_falling(families, 0.5))
    categories, kinds = _drawn(CATEGORIES, random), _drawn(families, random)
    vectors = np.empty((items, DIMENSION), np.float32)
    for at in range(0, items, CHUNK):
        mine = family[at : at + CHUNK]
        parts = (categories[of_family[mine]], kinds[mine], _drawn(len(mine), random))
        vectors[at : at + CHUNK] = _unit(
            sum(np.float32(share) * part for share, part in zip(SHARES, parts, strict=True))
        )
    return Landscape(vectors, _searches(vectors, of_family[family], searches, random))


def _searches(
    vectors: Vectors, category: NDArray[np.int64], count: int, random: np.random.Generator
) -> Vectors:
    found = np.empty((count, DIMENSION), np.float32)
    for number in range(count):
        liked = category[random.integers(len(vectors), size=random.integers(1, 4))]
        read = [random.choice(np.flatnonzero(category == each), random.integers(1, 8)) for each in liked]
        user = _unit(vectors[np.concatenate(read)].mean(axis=0, keepdims=True))[0]
        asked = vectors[random.integers(len(vectors))] + np.float32(0.5) * _drawn(1, random)[0]
        query = _unit(asked[None])[0] if number % 2 else np.float32(0.0)
        found[number] = np.float32(WEIGHTS[0]) * user + np.float32(WEIGHTS[1]) * query
    return found


def _drawn(count: int, random: np.random.Generator) -> Vectors:
    """Directions whose spread falls from the first to the last of their dimensions."""
    spread = 1.0 / np.sqrt(1.0 + np.arange(DIMENSION) / 12.0)
    return _unit(random.standard_normal((count, DIMENSION), dtype=np.float32) * spread.astype(np.float32))


def _unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def _falling(count: int, power: float) -> NDArray[np.float64]:
    weights = 1.0 / np.arange(1, count + 1) ** power
    return np.asarray(weights / weights.sum())
