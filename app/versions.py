"""The versions of one bundle that a process holds: which one answers, and how another takes its place.

    prepare ──► ready ──commit──► served ──the next commit──► previous ──the one after──► closed
       └─ refused: nothing changes             ▲                  │
                                               └──── commit ◄─────┘  roll back: nothing is loaded

A request takes the served version once and keeps it to its end; one that is let go is closed after the last of them.
"""

import asyncio
import logging
import time
from typing import Any, Literal

from pydantic import BaseModel

from app import heap, loader
from app.errors import Refused, Unknown
from app.link import Link
from app.metrics import Metrics
from app.model import Model
from app.pace import Pace
from app.settings import Settings
from model_store.errors import BundleMissing, ChorusError
from model_store.shelf import Shelf

log = logging.getLogger(__name__)

LINGER_SECONDS = 2.0  # after which most requests of a version that was let go are answered


class Wish(BaseModel):
    """A version that is to answer; before: the one that answered before this one."""

    version: int | Literal["newest", "before"] = "newest"


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
        self._ready: Model | None = None
        self.served: Model | None = None
        self.previous: Model | None = None
        self.loading: int | None = None
        self.refusal: Refusal | None = None

    async def begin(self, link: Link) -> None:
        """Load the version that the settings name, and serve it. Raises ChorusError."""
        self._link = link
        async with self._turn:
            with Pace(beside=False) as pace:
                self._ready = await loader.load(self._settings, link, self._metrics, pace)
            self.commit()

    async def take(self, wish: Wish) -> None:
        """Serve another version, or go on as before: raises Unknown or Refused."""
        async with self._only():
            await self._prepare(self._find(wish))
            self.commit()

    async def prepare(self, version: int) -> None:
        """Have a version ready to be served. Raises Unknown or Refused."""
        async with self._turn:  # at a start it waits for the first one
            await self._prepare(version)

    def commit(self) -> None:
        """Serve what is ready, from the next request on."""
        ready, self._ready = self._ready, None
        if ready is None or ready is self.served:
            return
        before, gone = self.served, self.previous
        self.served, self.previous, self.refusal = ready, before, None
        self._tell(ready, before)
        if gone is not None and gone is not ready:
            self._let_go(gone)

    def abandon(self, refusal: Refusal | None = None) -> None:
        """Serve on; what is ready was refused elsewhere."""
        ready, self._ready = self._ready, None
        if ready is not None and ready is not self.served and ready is not self.previous:
            self._let_go(ready)
        self.refusal = refusal or self.refusal

    def shown(self) -> dict[str, Any]:
        """What is held and what lies on the shelf."""
        served, previous = self.served, self.previous
        return {
            "name": self._name,
            "served": served.manifest.version if served else None,
            "previous": previous.manifest.version if previous else None,
            "loading": self.loading,
            "refused": self.refusal,
            "shelf": Shelf(self._settings.store).versions(self._name),
        }

    async def close(self) -> None:
        """Let go of all."""
        for model in (self.served, self.previous, self._ready):
            if model is not None:
                await model.state.settle()
                model.close()

    @property
    def _name(self) -> str:
        return self.served.manifest.name if self.served else self._settings.model or ""

    def _only(self) -> asyncio.Lock:
        """Two wishes at once cannot both come true."""
        if self._turn.locked():
            raise Refused(
                f"version {self.loading or ''} is being loaded; try again when it is served or refused"
            )
        return self._turn

    def _find(self, wish: Wish) -> int:
        before = self.previous.manifest.version if self.previous else None
        return found(wish, Shelf(self._settings.store), self._name, before)

    def _let_go(self, model: Model) -> None:
        model.retire()
        self._trim()

    def _trim(self) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(LINGER_SECONDS, loop.run_in_executor, None, heap.trim)

    async def _prepare(self, version: int) -> None:
        held = (self.served, self.previous)
        self._ready = next((each for each in held if each and each.manifest.version == version), None)
        if self._ready is not None:
            return
        settings = self._settings.model_copy(update={"model": self._name, "version": version})
        self.loading = version
        try:
            with Pace(beside=True) as pace:
                self._ready = await loader.load(settings, self._link, self._metrics, pace)
        except ChorusError as error:
            self.refusal = Refusal(version=version, error=str(error), time=time.time())
            self._trim()
            log.error("version %d was refused, the one that serves goes on: %s", version, error)
            raise Refused(f"version {version} was refused: {error}") from error
        finally:
            self.loading = None

    def _tell(self, served: Model, before: Model | None) -> None:
        """The log and the metrics."""
        for model, level in ((before, 0.0), (served, 1.0)):
            if model is not None:
                manifest = model.manifest
                labels = (manifest.name, str(manifest.version), manifest.precision, manifest.fingerprint[:16])
                self._metrics.model.labels(*labels).set(level)
        if not served.engine.features.layout.empty:
            self._metrics.prior.set(served.manifest.statistics_until)
        if before is not None:
            log.info("%s serves now, in place of %s", served.label, before.label)


def found(wish: Wish, shelf: Shelf, name: str, before: int | None) -> int:
    """The version that is meant. Raises Unknown or Refused."""
    if wish.version == "before":
        if before is None:
            raise Refused("no other version was served before; name the one that you want at /admin/versions")
        return before
    try:
        return int(shelf.find(name, None if wish.version == "newest" else wish.version).name)
    except BundleMissing as error:
        raise Unknown(str(error)) from error
