"""The use case: rank items for a user at a moment. Knows no HTTP.

One round trip to Redis for however many asks; then for each: the user's past and vector, the query's
vector, candidates given or retrieved, all heads in one run, one score, the best k. What was counted of
retrieved items takes one more trip, for all that were retrieved.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from app.batcher import Batcher
from app.breaks import Breaks
from app.catalogue import Catalogue
from app.interests import Interests
from app.labels import Label
from app.metrics import Metrics, Stages
from app.moments import Moments
from app.outcome import Column, Form
from app.pulse import Threads
from app.question import Ask, Draft, Known
from app.ranker import Answer, Ranker
from app.settings import Settings
from app.shares import AT_ONCE, HISTORIES, parts, shares, sizes, work
from app.slates import Slates
from app.state import Found, State
from app.stored import Row, Stored
from app.texts import Texts
from app.turns import Finish, Turns
from app.users import Users
from model_store.engine import Engine, cores
from model_store.parts import Rows
from model_store.scorer import Scorer

NOBODY = Stored()


@dataclass(frozen=True)
class Pools:
    """Threads for the graphs: a crowd of texts never stands in the way of the heads."""

    texts: Batcher
    heads: Threads

    @property
    def longest(self) -> float:
        """Seconds that the longest run under way has lasted."""
        return max(self.texts.pulse.longest, self.heads.pulse.longest)


class Recommender:
    """Answers asks with one bundle."""

    def __init__(
        self,
        engine: Engine,
        scorer: Scorer,
        catalogue: Catalogue,
        *,
        state: State,
        pools: Pools,
        settings: Settings,
        metrics: Metrics,
    ) -> None:
        self._manifest = engine.manifest
        self._catalogue = catalogue
        self._state = state
        self._pool = pools.heads
        self._moments = Moments(engine, catalogue)
        self._alone = Form(engine.manifest.text_tasks)
        self._interests = Interests(engine)
        self._slates = Slates(catalogue, engine.manifest.retrieval, settings.retrieve)
        self._ranker = Ranker(
            scorer, catalogue, clock=engine.clock, slates=self._slates, moments=self._moments, metrics=metrics
        )
        self._waiting = metrics.candidates_waiting
        waits = metrics.queues.labels("heads")
        self._best = Turns(self._ranker.best, self._waiting, waits, most=AT_ONCE)
        self._all = Turns(self._ranker.all, self._waiting, waits, most=AT_ONCE)
        self._texts = Texts(pools.texts, metrics, size=settings.local_cache, keep=state.keep_text)
        self._users = Users(engine, catalogue, pool=pools.heads, metrics=metrics, size=settings.local_cache)

    def carry(self, label: Label | None) -> None:
        """What its answers are counted under from now on; None: they are not."""
        self._ranker.carry(label)

    async def rank(self, asks: Sequence[Ask], stages: Stages) -> list[Answer]:
        """The best k of each ask; one that fails does not fail the others.

        Near the deadline a query that still waits to be encoded is left out, where that leaves an answer.
        """
        answers: list[Answer] = []
        for part in parts(asks):
            some, later = asks[part], work(asks[part.stop :])
            self._waiting.inc(later)
            try:
                known = await self.learn(some, stages, hurry=True)
                answers += self._interests.added(
                    await self._each(some, known, self._best, stages), some, known
                )
            finally:
                self._waiting.inc(-later)
        return answers

    async def score(self, asks: Sequence[Ask], stages: Stages) -> list[Answer]:
        """Every candidate of each ask, a list of its own, in the order given; all must be known, none is left out."""
        return await self._each(asks, await self.learn(asks, stages), self._all, stages)

    async def learn(self, asks: Sequence[Ask], stages: Stages, *, hurry: bool = False) -> list[Known]:
        """What has to be known of each ask, from one round trip to Redis and what is computed.

        hurry: all of it, or near the deadline all that there is no answer without.
        """
        rows: list[Rows | None] = []
        breaks = Breaks()
        for ask in asks:
            await breaks.rest()
            rows.append(None if ask.candidates is None else self._catalogue.places(ask.candidates.ids))
        with stages("redis"):
            found = await self._fetch(asks, rows)
        drafts: list[Draft] = []
        breaks = Breaks()  # to wait for Redis was one
        for ask, each in zip(asks, rows, strict=True):
            await breaks.rest()
            drafts.append(self._draft(ask, each, found))
        texts = await self._read(drafts, found, stages, hurry=hurry)
        users = await self._vectors(drafts, texts, stages)
        return [self._known(draft, user, texts, found) for draft, user in zip(drafts, users, strict=True)]

    async def counted(self, known: Sequence[Known], rows: Rows) -> list[Known]:
        """The same with what was counted live of rows of the catalogue, if the features read it."""
        if not self._moments.counted:
            return list(known)
        found = await self._state.fetch(items=self._catalogue.named(np.unique(rows)))
        without = ("statistics",) if found.away else ()
        return [replace(one, live=found.live, without=one.without or without) for one in known]

    async def columns(
        self, asks: Sequence[Ask], known: Sequence[Known], rows: Rows, sizes: Rows
    ) -> list[tuple[slice, dict[str, Column] | None]]:
        """What all tasks say of rows of the catalogue, as Ranker tells it."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._ranker.columns, asks, known, rows, sizes)

    @property
    def recent(self) -> list[str]:
        """The texts that are at hand, those that were asked for last first."""
        return self._texts.recent

    def without(self) -> tuple[str, ...]:
        """What is done without while Redis is away."""
        return ("cache", "statistics") if self._moments.counted or self._moments.shown else ("cache",)

    def told(self, outputs: Row) -> list[dict[str, Any]]:
        """What the tasks of an item's text say, from the outputs (n, W) of items."""
        names = [task.name for task in self._manifest.text_tasks if task.inputs == "item"]
        return self._alone.served(outputs, names, {})

    async def texts(self, texts: Sequence[str], stages: Stages) -> list[dict[str, Any]]:
        """What the item-only tasks say of each text."""
        found = await self._state.fetch(texts=self._texts.missing(dict.fromkeys(texts)))
        rows = await self._rows(texts, found, stages)
        stacked = np.stack([rows[text][self._manifest.dimension :] for text in texts])
        return self._alone.served(stacked, list(self._alone.tasks), {})

    async def _each(
        self, asks: Sequence[Ask], known: list[Known], turns: Turns, stages: Stages
    ) -> list[Answer]:
        """Little work is done here and now: handing it to a thread costs as much as the heads of 100 candidates."""
        given = sizes(asks)
        if sum(given) <= AT_ONCE:
            with stages("heads"):
                return await turns.answers(asks, known, sum(given))
        admitted = work(asks)
        self._waiting.inc(admitted)  # as what it was: no more of it than can be done in time
        try:
            if self._moments.counted:
                known = await self._retrieved(asks, known, stages)
            with stages("heads"):
                return await self._spread(asks, known, turns.finish, given)
        finally:
            self._waiting.inc(-admitted)

    async def _fetch(self, asks: Sequence[Ask], rows: Sequence[Rows | None]) -> Found:
        """What Redis knows of users, texts and given candidates, which are at rows of the catalogue."""
        live = [ask for ask in asks if not ask.bundled]
        given = (
            item
            for ask, each in zip(asks, rows, strict=True)
            if each is not None and ask.candidates is not None and not ask.bundled
            for item in ask.candidates.known(each)
        )
        return await self._state.fetch(
            _once(ask.stored_user for ask in asks),
            self._texts.missing(_once(text for ask in asks for text in ask.texts)),
            shown=_once(ask.user_id for ask in live) if self._moments.shown else (),
            items=_once(given) if self._moments.counted else (),
        )

    async def _read(
        self, drafts: Sequence[Draft], found: Found, stages: Stages, *, hurry: bool
    ) -> dict[str, Row]:
        """The row of every text that is needed; of those that can be spared, if they are there in time."""
        texts = _once(text for draft in drafts for text in draft.texts)
        spared = {draft.ask.spare for draft in drafts} if hurry else set()
        if spared.isdisjoint(texts):
            return await self._rows(texts, found, stages)
        try:
            async with asyncio.timeout(stages.spare):
                return await self._rows(texts, found, stages)
        except TimeoutError:  # those that waited have left the line
            needed = (text for draft in drafts for text in draft.texts if text != draft.ask.spare)
            return await self._rows(_once(needed), found, stages)

    def _draft(self, ask: Ask, rows: Rows | None, found: Found) -> Draft:
        """What is at hand of one ask."""
        asked = ask.stored_user is not None and not found.away
        stored = found.users.get(ask.stored_user or "", NOBODY)
        if ask.history is None:
            past = self._users.stored(stored, ask.now, ask.profile)
        else:
            past = self._users.past(ask.history, ask.profile or "", ask.now)
        user = self._users.known(past, stored if asked else None)
        return Draft(ask, rows, past, user, "bypass" if not asked else "miss" if user is None else "hit")

    async def _vectors(self, drafts: Sequence[Draft], rows: Mapping[str, Row], stages: Stages) -> list[Row]:
        """The user's vector of each draft."""
        new = [draft for draft in drafts if draft.user is None]
        if not new:
            return [draft.user for draft in drafts if draft.user is not None]
        found: list[Row] = []
        with stages("user"):
            for at in range(0, len(new), HISTORIES):
                found += await asyncio.gather(*(self._encode(one, rows) for one in new[at : at + HISTORIES]))
        encoded = iter(found)
        return [next(encoded) if draft.user is None else draft.user for draft in drafts]

    async def _encode(self, draft: Draft, rows: Mapping[str, Row]) -> Row:
        """Compute a user's vector, and share it unless the request brought the history or the profile."""
        ask, past = draft.ask, draft.past
        user = await self._users.encode(past, rows[past.profile] if past.profile else None)
        if draft.cache == "miss" and ask.stored_user is not None and ask.profile is None:
            self._state.keep_user(ask.stored_user, past.digest, user)
        return user

    def _known(self, draft: Draft, user: Row, texts: Mapping[str, Row], found: Found) -> Known:
        ask = draft.ask
        query = texts.get(ask.query) if ask.query is not None else None
        late = ask.query is not None and query is None
        return Known(
            past=draft.past,
            user=user,
            query=None if query is None else query[: self._manifest.dimension],
            texts=texts,
            cache=draft.cache,
            without=(*(self.without() if found.away else ()), *(("query",) if late else ())),
            lists=() if ask.bundled else found.shown.get(ask.user_id or "", ()),
            live=None if ask.bundled else found.live,
            rows=draft.rows,
        )

    async def _rows(self, texts: Sequence[str], found: Found, stages: Stages) -> dict[str, Row]:
        if not texts:
            return {}
        with stages("text"):
            return await self._texts.rows(texts, None if found.away else found.texts)

    async def _retrieved(self, asks: Sequence[Ask], learned: list[Known], stages: Stages) -> list[Known]:
        """Retrieve where no candidates were given, and fetch what was counted of all that is retrieved."""
        chosen = [n for n, ask in enumerate(asks) if ask.candidates is None and not ask.bundled]
        if not chosen:
            return learned
        loop, known = asyncio.get_running_loop(), list(learned)
        with stages("retrieve"):
            find = self._slates.retrieve
            runs = (loop.run_in_executor(self._pool, find, asks[n], learned[n]) for n in chosen)
            rows = await asyncio.gather(*runs)
        with stages("redis"):
            counted = await self.counted([learned[n] for n in chosen], np.concatenate(rows))
        for each, n, one in zip(rows, chosen, counted, strict=True):
            known[n] = replace(one, rows=each)
        return known

    async def _spread(
        self, asks: Sequence[Ask], known: Sequence[Known], finish: Finish, given: Sequence[int]
    ) -> list[Answer]:
        """Asks with so many candidates, answered on threads."""
        loop, cuts = asyncio.get_running_loop(), shares(given, cores())
        runs = (loop.run_in_executor(self._pool, finish, asks[cut], known[cut]) for cut in cuts)
        return [answer for part in await asyncio.gather(*runs) for answer in part]


def _once(names: Iterable[str | None]) -> list[str]:
    """Each name once, in order."""
    return [name for name in dict.fromkeys(names) if name is not None]
