"""Rounds: every contender once a round, in an order that turns; ratios within a round, then summarised."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import TypedDict

Values = Mapping[str, Sequence[float]]


class Spread(TypedDict):
    """The middle and the ends of what the rounds gave."""

    median: float
    min: float
    max: float
    rounds: list[float]


def order(names: Sequence[str], number: int) -> list[str]:
    """Who comes when in a round: another one first each time, the rest backwards every other time."""
    turn = number % len(names)
    first, *rest = [*names[turn:], *names[:turn]]
    return [first, *(rest[::-1] if number % 2 else rest)]


def spread(values: Sequence[float]) -> Spread:
    """Median, least and greatest, and all of them."""
    return {"median": median(values), "min": min(values), "max": max(values), "rounds": list(values)}


def ratios(values: Values, of: str) -> dict[str, Spread]:
    """How many times as much `of` gave as each other one, round by round."""
    return {
        name: spread([mine / theirs for mine, theirs in zip(values[of], each, strict=True)])
        for name, each in values.items()
        if name != of
    }
