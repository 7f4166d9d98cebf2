"""Asks that are answered together: candidates side by side, for one matrix of features and one run of the heads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.question import Ask, Known
from app.slate import Slate, joined
from app.state import Live
from model_store.fusion import Fusion
from model_store.parts import Rows

MOST = 8_192  # candidates of a round: enough for its fixed cost to be little of it


@dataclass(frozen=True)
class Round:
    """n candidates of G asks, ask after ask, that share their columns, their fusion and when live counting began.

    sizes (G,): candidates of each ask, none 0; apart: each candidate is a list of its own, not each ask.
    """

    asks: Sequence[Ask]
    known: Sequence[Known]
    slate: Slate
    sizes: Rows
    apart: bool = False

    @property
    def fusion(self) -> Fusion:
        return self.asks[0].fusion

    @property
    def explain(self) -> bool:
        return self.asks[0].explain

    @property
    def live(self) -> Live | None:
        """What was counted of the candidates, by each ask's own trip; None if nothing was or none asked."""
        first = self.known[0].live
        if first is None or all(one.live is first for one in self.known):
            return first
        ids = self.slate.ids
        records = [
            one.live.of(ids[part]) for one, part in zip(self.known, self.parts, strict=True) if one.live
        ]
        return Live(tuple(ids), np.concatenate(records), first.began)

    @cached_property
    def parts(self) -> list[slice]:
        """Where the candidates of each ask lie."""
        ends = self.sizes.cumsum().tolist()
        return [slice(begin, end) for begin, end in pairwise([0, *ends])]

    @cached_property
    def owners(self) -> Rows:
        """The number of each candidate's ask, (n,)."""
        return np.arange(len(self.asks)).repeat(self.sizes)

    @property
    def lists(self) -> Rows:
        """Where each list begins."""
        return np.arange(len(self.slate)) if self.apart else self.sizes.cumsum() - self.sizes

    def each(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values of asks (G,) as those of candidates: (n,), or (1,) if all are of one ask."""
        return values if len(self.asks) == 1 else values[self.owners]

    def alone(self) -> "Iterator[Round]":
        """Each ask in a round of its own."""
        for ask, one, part in zip(self.asks, self.known, self.parts, strict=True):
            slate = self.slate.part(part)
            yield Round(asks=[ask], known=[one], slate=slate, sizes=np.array([len(slate)]), apart=self.apart)


def rounds(
    asks: Sequence[Ask], known: Sequence[Known], slates: Sequence[Slate], *, apart: bool
) -> Iterator[tuple[list[int], Round]]:
    """The asks that have candidates, in as few rounds as can be; with each the numbers of its asks."""
    groups: dict[object, list[int]] = {}
    for number, (ask, one, slate) in enumerate(zip(asks, known, slates, strict=True)):
        if len(slate):
            counted = None if one.live is None else (one.live.began,)
            key = (id(slate.columns), counted, ask.explain, ask.fusion.key)
            groups.setdefault(key, []).append(number)
    for group in groups.values():
        for numbers in _cut(group, slates):
            members = [slates[number] for number in numbers]
            yield (
                numbers,
                Round(
                    asks=[asks[number] for number in numbers],
                    known=[known[number] for number in numbers],
                    slate=joined(members),
                    sizes=np.array([len(member) for member in members]),
                    apart=apart,
                ),
            )


def stretches(
    asks: Sequence[Ask], known: Sequence[Known], slate: Slate, sizes: Rows
) -> Iterator[tuple[slice, Round]]:
    """Candidates that stand apart, sizes (G,) of each ask, as many at once as can be; an ask may go on in another."""
    ends = np.cumsum(sizes)
    for begin in range(0, len(slate), MOST):
        part = slice(begin, min(begin + MOST, len(slate)))
        first = int(np.searchsorted(ends, part.start, side="right"))
        last = int(np.searchsorted(ends, part.stop, side="left")) + 1
        stops: Rows = np.minimum(ends[first:last], part.stop)
        held = stops - np.append(part.start, stops[:-1])
        yield part, Round(asks[first:last], known[first:last], slate.part(part), held, apart=True)


def _cut(numbers: Sequence[int], slates: Sequence[Slate]) -> Iterator[list[int]]:
    """The numbers in order, as many at once as have the most candidates; an ask stays whole."""
    cut: list[int] = []
    size = 0
    for number in numbers:
        if cut and size + len(slates[number]) > MOST:
            yield cut
            cut, size = [], 0
        cut.append(number)
        size += len(slates[number])
    if cut:
        yield cut
