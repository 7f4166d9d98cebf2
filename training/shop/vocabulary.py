"""The words of the shop: words.toml, read once and checked.

Vocabulary   brands by price level, colours, styles, sentence templates
  Category   a department: what it sells, at which prices, and what people praise or fault in it
    Kind     a sub-kind of product: "running shoes", "crime novel"
"""

import tomllib
from functools import cache, cached_property
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict

Tier = Literal["budget", "middle", "premium"]
TIERS: tuple[Tier, ...] = ("budget", "middle", "premium")
Strings = tuple[str, ...]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Kind(_Table):
    """A sub-kind with its other names, uses ("for ...") and features ("with ...")."""

    name: str
    also: Strings
    uses: Strings
    features: Strings
    tags: Strings
    tails: Strings = ()  # works only: the second half of an invented title
    mass: bool = False  # takes no article: "popcorn"

    @property
    def plural(self) -> bool:
        return self.name.endswith("s") and not self.name.endswith("ss")


class Category(_Table):
    """A department. `daypart` is when people fancy it; `dwell` the seconds that a glance takes."""

    name: str
    world: str
    daypart: str | None = None
    price: tuple[float, float]
    dwell: float
    brands: Strings
    palette: str
    materials: Strings
    styles: Strings
    people: Strings
    about: Strings
    praise: Strings
    faults: Strings
    kinds: tuple[Kind, ...]


class Titles(_Table):
    """Title templates of goods and of works (books, films, games)."""

    goods: Strings
    works: Strings


class Descriptions(_Table):
    """Sentence templates of descriptions."""

    openers: Strings
    colours: Strings


class Queries(_Table):
    """What people type: words for cheap and dear, and templates."""

    budget: Strings
    premium: Strings
    gifts: Strings
    plain: Strings


class Vocabulary(_Table):
    """All of words.toml. Reviews, bodies and closings go by rating, prices by tier."""

    lines: Strings
    heads: Strings
    brands: dict[Tier, Strings]
    palettes: dict[str, Strings]
    styles: dict[str, Strings]
    prices: dict[Tier, Strings]
    titles: Titles
    descriptions: Descriptions
    queries: Queries
    reviews: dict[int, Strings]
    bodies: dict[int, Strings]
    closings: dict[int, Strings]
    category: tuple[Category, ...]

    @cached_property
    def tiers(self) -> dict[str, int]:
        """Brand -> its place in TIERS."""
        return {brand: TIERS.index(tier) for tier, brands in self.brands.items() for brand in brands}


@cache
def vocabulary() -> Vocabulary:
    """The words, read from the file that lies beside this module."""
    text = files(__package__).joinpath("words.toml").read_text(encoding="utf-8")
    return Vocabulary.model_validate(tomllib.loads(text))
