"""The catalogue in step with its changes at runtime: those made here at once, those of other processes soon after.

Another process's change is followed within a quarter of a second and a round trip, or once Redis is back. An item
that was put under another model is encoded here first, one text at a time between two looks: deletes do not wait.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from typing import NamedTuple

from app.batcher import Batcher
from app.candidates import Described
from app.catalogue import Catalogue
from app.errors import CacheAway, ServiceError, TooLarge
from app.metrics import Metrics
from app.pace import Pace
from app.register import MOST, Change, Register, Source
from app.stored import Row
from app.texts import digest
from model_store.manifest import Manifest

log = logging.getLogger(__name__)

PAUSE = 0.25  # seconds between two looks
AT_ONCE = 200  # changes of a look: the event loop applies them without a turn
TOGETHER = 64  # texts that wait to be encoded while nobody else's do
RECENT = 60_000_000  # microseconds within which changes may reach us out of their order

FULL = TooLarge(f"there are {MOST:,} items put at runtime already; publish a bundle with them")


class Waiting(NamedTuple):
    """An item that was put at a version, and whose text no one has encoded by this model."""

    item: Described
    version: int


class Changes:
    """Puts and deletes items, and follows what others put and delete."""

    def __init__(
        self,
        register: Register,
        catalogue: Catalogue,
        manifest: Manifest,
        *,
        texts: Batcher,
        metrics: Metrics,
    ) -> None:
        self._register = register
        self._catalogue = catalogue
        self._manifest = manifest
        self._texts = texts
        self._metrics = metrics
        self._turn = asyncio.Semaphore(texts.abreast)  # of items: a query waits for a few of them at most
        self._version = 0  # all changes up to it were seen
        self._greatest = 0  # of all that were seen
        self._recent: dict[str, int] = {}  # id to the version that was applied last, in that order
        self._digests: dict[str, bytes] = {}  # of the texts of items that were put
        self._waiting: dict[str, Waiting] = {}  # to be encoded
        self._task: asyncio.Task[None] | None = None

    async def put(self, sources: Sequence[Source]) -> list[ServiceError | None]:
        """Add items or replace them, as the bundle reads them; what is wrong with each. Raises NotStored."""
        described = [source.described(self._manifest) for source in sources]
        rows = await asyncio.gather(*map(self._row, described))
        parts = zip(sources, described, rows, strict=True)
        kept = [(source, item.text, row) for source, item, row in parts]
        versions = await self._register.put(kept, after=self._greatest)
        for item, row, version in zip(described, rows, versions, strict=True):
            if version:
                self._put(item, row, version)
        self._tell()
        return [None if version else FULL for version in versions]

    async def delete(self, ids: Sequence[str]) -> list[bool]:
        """Delete items; whether each was there. None is found again when this returns. Raises NotStored."""
        versions = await self._register.delete(ids, after=self._greatest)
        there = [row >= 0 for row in self._catalogue.places(ids).tolist()]
        for item, version in zip(ids, versions, strict=True):
            self._delete(item, version)
        self._tell()
        return there

    async def start(self, pace: Pace | None = None) -> None:
        """Take over all changes there ever were, then follow; without them, if Redis is away, until it is back."""
        self._metrics.items_followed.set(time.time())
        try:
            await self.follow(pace)
        except CacheAway:
            log.warning("items put and deleted at runtime are not known until Redis is back")
        await self.settle(pace)
        self._task = asyncio.create_task(self._keep_following())

    async def follow(self, pace: Pace | None = None) -> None:
        """See all changes up to now; what has to be encoded waits. Raises CacheAway."""
        most = pace.few(AT_ONCE) if pace else AT_ONCE
        while changes := await self._register.since(self._version, most):
            for change in changes:
                self._apply(change)
            self._version = changes[-1].version
            self._greatest = max(self._greatest, self._version)
            if pace:
                await pace.rest()
        while self._recent and self._recent[first := next(iter(self._recent))] < self._version - RECENT:
            del self._recent[first]
        self._metrics.items_followed.set(time.time())
        self._tell()

    async def settle(self, pace: Pace | None = None) -> None:
        """Encode all that waits."""
        together = pace.few(TOGETHER) if pace else TOGETHER
        while self._waiting:
            await self._encode(list(islice(self._waiting, together)))
            if pace:
                await pace.rest()

    def close(self) -> None:
        """Follow no more."""
        if self._task:
            self._task.cancel()
            self._task = None  # it knows us: nobody looks for cycles while requests wait

    async def _keep_following(self) -> None:
        while True:
            start = time.monotonic()
            try:
                await self.follow()
                while self._waiting and time.monotonic() < start + PAUSE:
                    await self._encode([next(iter(self._waiting))])
            except CacheAway:
                pass  # the lag tells of it
            except Exception:  # whatever it is: who stops following sees no delete again
                log.exception("following the changes of items failed; trying again")
            await asyncio.sleep(max(0.0, start + PAUSE - time.monotonic()))

    def _apply(self, change: Change) -> None:
        if change.version <= self._recent.get(change.item_id, 0):
            return
        if change.source is None:
            self._delete(change.item_id, change.version)
            return
        item = change.source.described(self._manifest)
        if not item.text:
            log.warning("item %r has none of the fields that this model reads", item.item_id)
        elif change.row is not None and change.digest == digest(item.text):
            self._put(item, change.row, change.version)
        else:
            self._waiting[item.item_id] = Waiting(item, change.version)

    async def _encode(self, ids: Sequence[str]) -> None:
        """Encode some that wait, and apply them unless they have changed meanwhile."""
        waiting = [self._waiting[item] for item in ids]
        texts = (self._texts.encode(each.item.text) for each in waiting)
        rows = await asyncio.gather(*texts, return_exceptions=True)
        kept = {}
        for each, row in zip(waiting, rows, strict=True):
            item = each.item
            if isinstance(row, BaseException):
                log.warning("item %r cannot be encoded: %s", item.item_id, row)
                self._waiting.pop(item.item_id, None)
            elif self._waiting.get(item.item_id) is each:
                self._put(item, row, each.version)
                kept[item.item_id] = (item.text, row)
        self._tell()
        with suppress(CacheAway):
            await self._register.keep(kept)

    async def _row(self, item: Described) -> Row:
        """What the text of an item is encoded to; at hand if only something else of it changes."""
        if self._digests.get(item.item_id) == digest(item.text):
            return self._catalogue.encoded(item.item_id)
        async with self._turn:
            return await self._texts.encode(item.text)

    def _put(self, item: Described, row: Row, version: int) -> None:
        if self._newer(item.item_id, version):
            self._digests[item.item_id] = digest(item.text)
            self._catalogue.put(item, row)

    def _delete(self, item: str, version: int) -> None:
        if self._newer(item, version):
            self._digests.pop(item, None)
            self._catalogue.delete(item)

    def _newer(self, item: str, version: int) -> bool:
        """Whether a change is later than what is known of the item; from now on it is what is known."""
        if version <= self._recent.get(item, 0):
            return False
        self._recent.pop(item, None)
        self._recent[item] = version
        self._greatest = max(self._greatest, version)
        self._waiting.pop(item, None)
        return True

    def _tell(self) -> None:
        self._metrics.items_runtime.set(self._catalogue.runtime)
        self._metrics.items_deleted.set(self._catalogue.deleted)
