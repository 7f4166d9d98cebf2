"""The use case: rank items for a user at a moment. Knows no HTTP.

One round trip to Redis for however many asks; then for each: the user's past and vector, the query's
vector, candidates given or retrieved, all heads in one run, one score, the best k.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from app.catalogue import Candidate, Catalogue, Filters, Rows, Slate
from app.errors import ServiceError
from app.fusion import Fusion
from app.metrics import Metrics, Stages
from app.outcome import Fused, Outcome, Ranked, split
from app.settings import Settings
from app.state import Found, Record, Row, State, Stored
from app.texts import Texts, digest
from app.users import Past, Users
from model_store import taste
from model_store.engine import Engine
from model_store.moment import Moment
from model_store.text import render

CacheUse = Literal["hit", "miss", "bypass"]

NOBODY = Stored()


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One question. `history` None: the stored one; `candidates` None: retrieve them from the catalogue."""

    now: float
    fusion: Fusion
    user_id: str | None = None
    history: tuple[Record, ...] | None = None
    profile: str | None = None
    query: str | None = None
    candidates: tuple[Candidate, ...] | None = None
    k: int = 20
    filters: Filters = field(default_factory=dict)
    exclude: frozenset[str] = frozenset()
    exclude_seen: bool | None = None
    explain: bool = False

    @property
    def stored_user(self) -> str | None:
        """The user whose history is wanted from Redis."""
        return self.user_id if self.history is None else None

    @property
    def texts(self) -> list[str]:
        """Texts that this question brings."""
        cold = (candidate.text for candidate in self.candidates or () if candidate.text)
        return [text for text in (self.query, self.profile, *cold) if text]


@dataclass(frozen=True)
class Ranking:
    """The answer: items best first, ids that are not in the catalogue, what was done without."""

    items: list[Ranked]
    unknown: list[str]
    degraded: list[str]
    cache: CacheUse


@dataclass(frozen=True)
class Known:
    """All that one ask needs before the heads run."""

    past: Past
    user: Row
    texts: dict[str, Row]
    degraded: list[str]
    cache: CacheUse


@dataclass(frozen=True)
class Pools:
    """Threads for the graphs: a crowd of texts never stands in the way of the heads."""

    texts: Executor
    heads: Executor


class Recommender:
    """Answers asks with one bundle."""

    def __init__(
        self,
        engine: Engine,
        catalogue: Catalogue,
        *,
        state: State,
        pools: Pools,
        settings: Settings,
        metrics: Metrics,
    ) -> None:
        self._manifest = engine.manifest
        self._engine = engine
        self._catalogue = catalogue
        self._state = state
        self._pool = pools.heads
        self._metrics = metrics
        self._retrieve = settings.retrieve
        self._texts = Texts(engine, pools.texts, metrics, size=settings.local_cache)
        self._users = Users(engine, catalogue, pool=pools.heads, metrics=metrics, size=settings.local_cache)

    async def rank(self, asks: Sequence[Ask], stages: Stages) -> list[Ranking | ServiceError]:
        """The best k of each ask; one that fails does not fail the others."""
        return await self._each(asks, self._best, stages)

    async def score(self, asks: Sequence[Ask], stages: Stages) -> list[Ranking | ServiceError]:
        """Every candidate of each ask, in the order given; all must be known, none is left out."""
        return await self._each(asks, self._all, stages)

    async def texts(self, texts: Sequence[str], stages: Stages) -> list[dict[str, Any]]:
        """What the item-only tasks say of each text."""
        found = await self._state.fetch((), self._texts.missing(texts))
        rows = await self._rows(texts, found, stages)
        stacked = np.stack([rows[text][self._manifest.dimension :] for text in texts])
        alone = Outcome(self._manifest.text_tasks, split(stacked, self._manifest.text_tasks))
        return alone.served()

    async def _each(
        self, asks: Sequence[Ask], finish: Callable[[Ask, Known], Ranking], stages: Stages
    ) -> list[Ranking | ServiceError]:
        loop = asyncio.get_running_loop()
        users = list(dict.fromkeys(ask.stored_user for ask in asks if ask.stored_user is not None))
        texts = dict.fromkeys(text for ask in asks for text in ask.texts)
        with stages("redis"):
            found = await self._state.fetch(users, self._texts.missing(texts))

        async def answer(ask: Ask) -> Ranking | ServiceError:
            try:
                known = await self._learn(ask, found, stages)
                with stages("heads"):
                    return await loop.run_in_executor(self._pool, finish, ask, known)
            except ServiceError as error:
                return error

        return await asyncio.gather(*map(answer, asks))

    async def _learn(self, ask: Ask, found: Found, stages: Stages) -> Known:
        """The user's past and vector and every text's row: remembered, found in Redis or computed."""
        asked = ask.stored_user is not None and not found.away
        stored = found.users.get(ask.stored_user or "", NOBODY)
        fields = self._manifest.profile_text
        profile = render(fields, stored.profile) if ask.profile is None else ask.profile
        records = stored.history if ask.history is None else ask.history
        past = self._users.past(records, profile, ask.now)
        user = self._users.known(past, stored if asked else None)
        cache: CacheUse = "bypass" if not asked else "miss" if user is None else "hit"
        texts = [text for text in ask.texts if text != ask.profile]
        rows = await self._rows([*texts, profile] if profile and user is None else texts, found, stages)
        if user is None:
            with stages("user"):
                user = await self._users.encode(past, rows[profile] if profile else None)
            if asked and ask.stored_user is not None and ask.profile is None:
                self._state.keep_user(ask.stored_user, past.digest, user)
        return Known(past, user, rows, ["cache"] if found.away else [], cache)

    async def _rows(self, texts: Iterable[str], found: Found, stages: Stages) -> dict[str, Row]:
        with stages("text"):
            rows, encoded = await self._texts.rows(texts, None if found.away else found.texts)
        self._state.keep_texts({digest(text): rows[text] for text in encoded})
        return rows

    def _best(self, ask: Ask, known: Known) -> Ranking:
        slate, unknown = self._slate(ask, known)
        self._metrics.candidates.observe(len(slate))
        if not len(slate):
            return Ranking([], unknown, known.degraded, known.cache)
        fused = self._fuse(ask, known, slate)
        items = fused.ranked(slate.ids, fused.top(ask.k), explain=ask.explain)
        self._metrics.scores.observe(items[0].score)
        return Ranking(items, unknown, known.degraded, known.cache)

    def _all(self, ask: Ask, known: Known) -> Ranking:
        slate = self._catalogue.slate(ask.candidates or (), known.texts)
        self._metrics.candidates.observe(len(slate))
        items = self._fuse(ask, known, slate).ranked(slate.ids, np.arange(len(slate)), explain=ask.explain)
        return Ranking(items, [], known.degraded, known.cache)

    def _slate(self, ask: Ask, known: Known) -> tuple[Slate, list[str]]:
        """Candidates after filters and exclusions, each once, and the ids of the unknown ones."""
        retrieved = ask.candidates is None
        hide = retrieved if ask.exclude_seen is None else ask.exclude_seen
        hidden = ask.exclude | known.past.seen if hide else ask.exclude
        if ask.candidates is None:
            rows = self._catalogue.allowed(ask.filters, hidden)
            return self._catalogue.stored(self._retrieved(rows, ask, known)), []
        unique: dict[str, Candidate] = {}
        for candidate in ask.candidates:
            unique.setdefault(candidate.item_id, candidate)
        unknown = [each.item_id for each in unique.values() if not self._catalogue.knows(each)]
        kept = [
            each
            for each in unique.values()
            if self._catalogue.knows(each)
            and each.item_id not in hidden
            and self._catalogue.passes(each, ask.filters)
        ]
        return self._catalogue.slate(kept, known.texts), unknown

    def _retrieved(self, rows: Rows, ask: Ask, known: Known) -> Rows:
        weights = self._manifest.retrieval
        vector = np.float32(weights.user_weight) * known.user
        query = self._query(ask, known)
        if query is not None:
            vector = vector + np.float32(weights.query_weight) * query
        return self._catalogue.nearest(rows, vector, max(self._retrieve, ask.k))

    def _fuse(self, ask: Ask, known: Known, slate: Slate) -> Fused:
        """Run the heads over the slate and weigh what they say."""
        online = self._engine.heads(
            known.user, self._query(ask, known), slate.vectors, self._context(ask, known, slate)
        )
        alone = split(slate.outputs, self._manifest.text_tasks)
        return Outcome(self._manifest.answered, online | alone).fuse(ask.fusion, self._engine.clock, ask.now)

    def _query(self, ask: Ask, known: Known) -> Row | None:
        return None if ask.query is None else known.texts[ask.query][: self._manifest.dimension]

    def _context(self, ask: Ask, known: Known, slate: Slate) -> Row:
        """Context features of the slate, (n, F)."""
        past, attributes = known.past, self._catalogue.items.attributes
        shares = {}
        for name in self._engine.features.attributes:
            profile = taste.profile(attributes[name].codes[past.rows], len(attributes[name].values))
            shares[name] = taste.shares(profile, slate.codes[name])
        moment = Moment(
            now=np.array([ask.now]),
            published=slate.published,
            last_event=np.array([past.last]),
            sizes=np.array([float(len(past.rows))]),
            shares=shares,
        )
        return self._engine.features.matrix(moment)
