"""The versions of one bundle that a process holds: which one answers whom, and how another takes its place.

    prepare ──► ready ──commit──► stable, canary or shadow ──a later commit──► previous, or let go
       └─ refused: nothing changes                  ▲                              │
                                                    └──────────── commit ◄─────────┘  nothing is loaded

A request takes the choice once and keeps it to its end; a version that is let go is closed after the last of them.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from pydantic import BaseModel

from app import heap, loader, volume
from app.choice import Choice
from app.errors import Busy, Refused
from app.labels import Labels, Wish
from app.link import Link
from app.metrics import Metrics
from app.model import Model
from app.pace import Pace
from app.settings import Settings
from app.shadow import Shadow
from model_store.errors import ChorusError
from model_store.shelf import Shelf

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 600.0  # with a load: while it lasts no other version can be changed
SLOW = f"it was not loaded within {PATIENCE_SECONDS:g} s: does the volume of the shelf hang?"
LINGER_SECONDS = 2.0  # after which most requests of a version that was let go are answered


class Refusal(BaseModel):
    """The version that was refused last, why, and when: unix seconds."""

    version: int
    error: str
    time: float


class Versions:
    """Those of one process. The event loop's thread alone calls it."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._link = Link(None, timeout=0.0, metrics=metrics)
        self._turn = asyncio.Lock()
        self._models: dict[int, Model] = {}
        self._labels: Labels | None = None
        self._next: Labels | None = None
        self._told: set[tuple[str, ...]] = set()
        self.choice: Choice | None = None
        self.shadow: Shadow | None = None
        self.loading: int | None = None
        self.refusal: Refusal | None = None

    async def begin(self, link: Link) -> None:
        """Load what the settings name, and serve it. Raises ChorusError."""
        self._link = link
        async with self._turn:
            self._next = await volume.ask(lambda: Labels.of(self._settings), patient=True)
            with Pace(beside=False) as pace:
                for version in self._next.active:
                    self._models[version] = await self._load(self._next, version, pace)
            self.commit()

    async def take(self, wish: Wish) -> None:
        """Have it so, or go on as before: raises Unknown or Refused."""
        async with self._only() as labels:
            shelf = Shelf(self._settings.store)
            await self._prepare(await volume.ask(lambda: labels.after(wish, shelf)))
            self.commit()

    async def prepare(self, labels: Labels) -> None:
        """Have all that is ready for them. Raises Unknown or Refused."""
        async with self._turn:  # at a start it waits for the first one
            await self._prepare(labels)

    def commit(self) -> None:
        """Serve as prepared, from the next request on."""
        labels, self._next = self._next, None
        if labels is None or labels == self._labels:
            return
        if self._labels is not None:
            log.info("versions of %s: %s", labels.name, labels)
        self._labels, self.refusal = labels, None
        canary = labels.canary
        self.choice = Choice(
            stable=self._models[labels.stable],
            canary=self._models[canary.version] if canary else None,
            share=canary.share if canary else 0.0,
        )
        self._compare(labels)
        self._tell(labels, self.choice)
        self._let_go()

    def abandon(self, refusal: Refusal | None = None) -> None:
        """Serve on; what is ready was refused elsewhere."""
        self._next = None
        self.refusal = refusal or self.refusal
        self._let_go()

    @property
    def active(self) -> list[Model]:
        """All that answer or are compared, the stable one first."""
        return [self._models[version] for version in self._labels.active] if self._labels else []

    async def shown(self) -> dict[str, Any]:
        """What is held and what lies on the shelf, None if it cannot be looked at."""
        shelf: list[int] | None = []
        if labels := self._labels:
            try:
                shelf = await volume.ask(lambda: Shelf(self._settings.store).versions(labels.name))
            except ChorusError:
                shelf = None
        return {
            "name": labels.name if labels else self._settings.model or "",
            "served": labels.stable if labels else None,
            "previous": labels.previous if labels else None,
            "canary": labels.canary if labels else None,
            "shadow": labels.shadow if labels else None,
            "loading": self.loading,
            "refused": self.refusal,
            "shelf": shelf,
        }

    async def close(self) -> None:
        """Let go of all."""
        if self.shadow:
            self.shadow.close()
        for model in self._models.values():
            await model.state.settle()
            model.close()

    def _compare(self, labels: Labels) -> None:
        if self.shadow:
            self.shadow.close()
        trial, self.shadow = labels.shadow, None
        if trial:
            self.shadow = Shadow(self._models[trial.version], trial.share, self._settings, self._metrics)

    def _let_go(self) -> None:
        """Of what is not held any more."""
        gone = self._models.keys() - (self._labels.held if self._labels else ())
        for version in gone:
            self._models.pop(version).retire()
        if gone:
            self._trim()

    def _trim(self) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(LINGER_SECONDS, loop.run_in_executor, None, heap.trim)

    @asynccontextmanager
    async def _only(self) -> AsyncIterator[Labels]:
        """The labels as they are; two wishes at once cannot both come true."""
        if self._labels is None or self._turn.locked():
            raise Busy(
                f"version {self.loading or ''} is being loaded; try again when it is served or refused"
            )
        async with self._turn:
            yield self._labels

    async def _prepare(self, labels: Labels) -> None:
        for version in labels.active:
            if version not in self._models:
                self._models[version] = await self._tried(labels, version)
        self._next = labels

    async def _tried(self, labels: Labels, version: int) -> Model:
        """Load it beside requests. Raises Refused."""
        try:
            with Pace(beside=True) as pace:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    return await self._load(labels, version, pace)
        except (ChorusError, TimeoutError) as late:
            error = late if isinstance(late, ChorusError) else ChorusError(SLOW)
            self.refusal = Refusal(version=version, error=str(error), time=time.time())
            self._trim()
            log.error("version %d was refused, those that serve go on: %s", version, error)
            raise Refused(f"version {version} was refused: {error}") from error

    async def _load(self, labels: Labels, version: int, pace: Pace) -> Model:
        settings = self._settings.model_copy(update={"model": labels.name, "version": version})
        served = self.choice.stable if self.choice else None
        self.loading = version
        try:
            return await loader.load(settings, self._link, self._metrics, pace, served=served)
        finally:
            self.loading = None

    def _tell(self, labels: Labels, choice: Choice) -> None:
        """The metrics, and each version what it is now."""
        told: set[tuple[str, ...]] = set()
        for version, model in self._models.items():
            label, manifest = labels.label(version), model.manifest
            model.recommender.carry(label)
            if label:
                told.add((manifest.name, str(version), manifest.precision, manifest.fingerprint[:16], label))
        for level, names in ((0.0, self._told - told), (1.0, told)):
            for each in names:
                self._metrics.model.labels(*each).set(level)
        self._told = told
        if not choice.stable.engine.features.layout.empty:
            self._metrics.prior.set(choice.stable.manifest.statistics_until)
