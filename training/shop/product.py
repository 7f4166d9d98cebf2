"""A product as the shop knows it before it has words, and its facets as numbers.

facets    category  kind  brand  colour  style  material  tier
product         2    11     40       3      7        19     1      every facet has a value
wish            2    11     -1       3     -1        -1    -1      -1: anything will do
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.shop.vocabulary import TIERS, Category, Kind, Tier, Vocabulary

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Codes = Ints  # (n, len(FACETS))
Facets = tuple[str | None, ...]

FACETS = ("category", "kind", "brand", "colour", "style", "material", "tier")
NO_COLOUR = "no colour"
ANYTHING = -1


@dataclass(frozen=True)
class Product:
    """`level` is the price within its category, from 0 (cheapest) to 1 (dearest)."""

    category: Category
    kind: Kind
    brand: str
    colour: str | None
    style: str
    material: str
    level: float

    @property
    def tier(self) -> Tier:
        """The third of the category's price range that it lies in."""
        return TIERS[min(int(self.level * 3), 2)]

    @property
    def facets(self) -> Facets:
        """One value for each of FACETS."""
        colour = self.colour or NO_COLOUR
        return (self.category.name, self.kind.name, self.brand, colour, self.style, self.material, self.tier)


class Codebook:
    """Numbers for the values of every facet."""

    def __init__(self, words: Vocabulary) -> None:
        colours = dict.fromkeys(colour for palette in words.palettes.values() for colour in palette)
        materials = dict.fromkeys(material for category in words.category for material in category.materials)
        self.values: dict[str, list[str]] = {
            "category": [category.name for category in words.category],
            "kind": [kind.name for category in words.category for kind in category.kinds],
            "brand": list(words.tiers),
            "colour": [NO_COLOUR, *colours],
            "style": list(words.styles),
            "material": list(materials),
            "tier": list(TIERS),
        }
        self._numbers = [{value: i for i, value in enumerate(self.values[facet])} for facet in FACETS]

    def encode(self, rows: Iterable[Facets]) -> Codes:
        """Facets as numbers, None as ANYTHING."""
        codes = [
            [
                ANYTHING if value is None else numbers[value]
                for value, numbers in zip(row, self._numbers, strict=True)
            ]
            for row in rows
        ]
        return np.array(codes, dtype=np.int64).reshape(-1, len(FACETS))
