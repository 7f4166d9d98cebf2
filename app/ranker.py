"""From asks and what is known of them to ranked items: features, heads and one score, many asks at once."""

from collections.abc import Sequence
from itertools import islice

import numpy as np

from app.candidates import Candidates
from app.catalogue import Catalogue
from app.drift import Drift
from app.errors import ModelFailure, ServiceError
from app.labels import Label
from app.metrics import Metrics
from app.moments import Moments
from app.outcome import Column, Fused, Outcomes, Outputs, Ranked
from app.question import Ask, Known, Ranking
from app.round import Round, rounds, stretches
from app.series import Spread
from app.slate import Slate
from app.slates import Slates
from model_store.clock import Clock
from model_store.features import Context
from model_store.parts import Rows
from model_store.scorer import Scorer, Side

Answer = Ranking | ServiceError


class Ranker:
    """Scores the candidates of asks with one bundle."""

    def __init__(
        self,
        scorer: Scorer,
        catalogue: Catalogue,
        *,
        clock: Clock,
        slates: Slates,
        moments: Moments,
        metrics: Metrics,
    ) -> None:
        self._scorer = scorer
        self._catalogue = catalogue
        self._slates = slates
        self._moments = moments
        self._metrics = metrics
        self._outcomes = Outcomes(scorer.manifest, scorer.tasks, clock)
        self._drift = Drift(scorer.manifest, scorer.tasks, metrics)
        self._scores: Spread | None = None

    def carry(self, label: Label | None) -> None:
        """What scores are counted under from now on; None: they are not."""
        self._scores = self._metrics.scores.labels(label) if label else None
        self._drift.carry(label)

    def best(self, asks: Sequence[Ask], known: Sequence[Known]) -> list[Answer]:
        """The best k of each ask; one that fails does not fail the others."""
        chosen = [self._slates.chosen(ask, one) for ask, one in zip(asks, known, strict=True)]
        slates, unknown = [slate for slate, _ in chosen], [missing for _, missing in chosen]
        found = self._ranked(asks, known, slates, apart=False)
        if scores := self._scores:
            for items in found:
                if isinstance(items, list) and items:
                    scores.observe(items[0].score)
        return [_answer(*parts) for parts in zip(found, unknown, known, strict=True)]

    def all(self, asks: Sequence[Ask], known: Sequence[Known]) -> list[Answer]:
        """Every candidate of each ask, a list of its own, in the order given; all must be known."""
        slates = []
        for ask, one in zip(asks, known, strict=True):
            given = ask.candidates or Candidates(())
            rows = self._catalogue.places(given.ids) if one.rows is None else one.rows
            slates.append(self._catalogue.slate(given, rows, one.texts))
        found = self._ranked(asks, known, slates, apart=True)
        return [_answer(items, [], one) for items, one in zip(found, known, strict=True)]

    def columns(
        self, asks: Sequence[Ask], known: Sequence[Known], rows: Rows, sizes: Rows
    ) -> list[tuple[slice, dict[str, Column] | None]]:
        """What is said of rows (n,) of the catalogue, sizes (G,) of each ask, each row a list of its own.

        Some candidates at a time, a column a task; None where one of them has a number that is not finite.
        """
        found: list[tuple[slice, dict[str, Column] | None]] = []
        for part, asked in stretches(asks, known, self._catalogue.stored(rows), sizes):
            try:
                found.append((part, self._fused(asked, self._moments.context(asked)).columns()))
            except ModelFailure:
                found.append((part, None))
        return found

    def _ranked(
        self, asks: Sequence[Ask], known: Sequence[Known], slates: Sequence[Slate], *, apart: bool
    ) -> list[list[Ranked] | ModelFailure]:
        found: list[list[Ranked] | ModelFailure] = [[] for _ in asks]
        for slate in slates:
            self._metrics.candidates.observe(len(slate))
        for numbers, asked in rounds(asks, known, slates, apart=apart):
            for number, items in zip(numbers, self._tried(asked), strict=True):
                found[number] = items
        return found

    def _tried(self, asked: Round) -> list[list[Ranked] | ModelFailure]:
        """The items of each ask; if the round fails, each is asked again alone."""
        try:
            return list(self._items(asked))
        except ModelFailure as error:
            if len(asked.asks) == 1:
                return [error]
        return [items for one in asked.alone() for items in self._tried(one)]

    def _items(self, asked: Round) -> list[list[Ranked]]:
        """Run the heads over the candidates and weigh what they say."""
        context = self._moments.context(asked)
        fused = self._fused(asked, context)
        picks = _picks(fused, asked)
        picked = np.concatenate(picks)
        items = fused.ranked(picked, explain=asked.explain)
        if asked.explain:
            told = self._moments.told(context, asked.owners[picked], picked)
            items = [item._replace(features=one) for item, one in zip(items, told, strict=True)]
        rest = iter(items)
        return [list(islice(rest, len(each))) for each in picks]

    def _fused(self, asked: Round, context: Context) -> Fused:
        now = np.array([ask.now for ask in asked.asks])
        buckets = {kind: asked.each(found) for kind, found in self._outcomes.buckets(now).items()}
        outputs = self._outputs(asked, context)
        fused = self._outcomes.fuse(outputs, asked.slate, asked.fusion, buckets)
        self._drift.observe(outputs)
        return fused

    def _outputs(self, asked: Round, context: Context) -> Outputs:
        """What the heads say, (n, W)."""
        slate = asked.slate
        sides = [
            Side(one.user, one.query, shared) for one, shared in zip(asked.known, context.shared, strict=True)
        ]
        return self._scorer.pairs(sides, asked.owners, slate.columns.parts, slate.places, own=context.own)


def _picks(fused: Fused, asked: Round) -> list[Rows]:
    """What is answered of each ask: the best, or all in order where each candidate is a list of its own."""
    if asked.apart:
        return [np.arange(part.start, part.stop) for part in asked.parts]
    return [fused.top(ask.k, part) for ask, part in zip(asked.asks, asked.parts, strict=True)]


def _answer(items: list[Ranked] | ModelFailure, unknown: list[str], known: Known) -> Answer:
    return (
        items
        if isinstance(items, ModelFailure)
        else Ranking(items, unknown, list(known.without), known.cache)
    )
