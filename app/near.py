"""What was read of Redis, while it is still true: what a request needs of users and items, without a trip.

It is dropped when Redis tells that a key was changed after it was read, or that a line was lost and so that word may
have been; when this process changes it, before anybody is told so; and at an age, should word be lost all the same.
What changes while it is being read is not kept, for the reply may be older than the change.
"""

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from app import keys
from app.copies import Copies
from app.link import Link
from app.settings import Settings
from app.slab import Slab
from app.stored import Stored
from model_store.counters import Records
from model_store.features import FeatureSet
from model_store.moment import Ints

V = TypeVar("V")

NEVER = -math.inf
UNKNOWN = (None, NEVER)
MOST = 20_000  # users whose last state is held against the next, where no copies are kept
EACH = 64  # bytes that a value takes beside its own
MEGABYTE = 1 << 20


class Reading:
    """One look: what of that which is asked is at hand, and the names that are left to be read.

    stored, lists: by user; records (n,) of the items asked, those at `places` (m,) to be read; began: when counting
    did, None: not yet; `timed`: that is known.
    """

    def __init__(self, users: Sequence[str], shown: Sequence[str], items: Sequence[str]) -> None:
        self.time = time.monotonic()
        self.asked = tuple(items)
        self.users, self.shown, self.items = users, shown, items
        self.stored: dict[str, Stored] = {}
        self.lists: dict[str, Sequence[Any]] = {}
        self.records: Records | None = None
        self.places: Ints | None = None
        self.began: float | None = None
        self.timed = not items
        self.lost = False  # any of it may have changed since
        self.changed_users: set[str] = set()
        self.changed_items: set[str] = set()


class Near:
    """Copies for one bundle. One thread only: the event loop's."""

    def __init__(self, link: Link, settings: Settings, features: FeatureSet) -> None:
        layout = features.layout
        self._link = link
        self._head = keys.began(layout.digest).encode()
        self._on = settings.local_cache > 0
        self._seconds = settings.local_ttl_seconds
        shown, counted = self._on and features.shown, self._on and not layout.empty
        part = settings.local_megabytes * MEGABYTE // (1 + shown + 2 * counted)
        self._stored: Copies[Stored] = Copies(settings.local_cache or MOST, part)
        self._lists: Copies[Sequence[Any]] = Copies(settings.local_cache, part)
        self._slab = Slab(layout, 2 * part if counted else 0)
        self._began: tuple[float | None, float] = UNKNOWN  # and when that was read
        self._readings: set[Reading] = set()
        label = link.metrics.cache.labels
        names = ("stored", "shown", "record")
        self._counts = [(label(name, "local", "hit"), label(name, "local", "miss")) for name in names]
        if self._on:
            link.listen(self.told)

    def close(self) -> None:
        """Be told of changes no more."""
        self._link.forget(self.told)

    @property
    def users(self) -> list[str]:
        """All that are at hand, those that were read last first."""
        return self._stored.names

    @property
    def items(self) -> list[str]:
        """All whose records are at hand."""
        return self._slab.items

    def look(self, users: Sequence[str], shown: Sequence[str], items: Sequence[str]) -> Reading:
        """What is at hand of users, of the lists shown to users, and of items, each asked for once."""
        reading = Reading(users, shown, items)
        if not self._on:
            return reading
        since = reading.time - self._seconds
        reading.stored, reading.users = _split(self._stored, users, since)
        reading.lists, reading.shown = _split(self._lists, shown, since)
        if items:
            reading.records, reading.places = self._slab.gather(items, since)
            reading.items = [items[place] for place in reading.places.tolist()]
            reading.began, read = self._began
            reading.timed = read >= since
        self._count((users, shown, items), (reading.users, reading.shown, reading.items))
        return reading

    @contextmanager
    def watch(self, reading: Reading) -> Iterator[None]:
        """Note what changes while the rest of it is read."""
        self._readings.add(reading)
        try:
            yield
        finally:
            self._readings.discard(reading)

    def before(self, user: str) -> Stored | None:
        """What was read of a user last, true or not."""
        return self._stored.last(user)

    def keep(
        self, reading: Reading, stored: Mapping[str, Stored], lists: Mapping[str, Sequence[Any]]
    ) -> None:
        """Add to a reading what was read of users."""
        reading.stored |= stored
        reading.lists |= lists
        kept = self._keeps(reading)
        for user, one in stored.items():
            true = kept and user not in reading.changed_users
            self._stored.put(user, one, time=reading.time if true else NEVER, size=one.size)
        for user, entries in lists.items():
            if kept and user not in reading.changed_users:
                size = EACH * (1 + len(entries)) + sum(map(len, entries))
                self._lists.put(user, entries, time=reading.time, size=size)

    def count(self, reading: Reading, records: Records, began: float | None) -> None:
        """Add to a reading the records (m,) of its items, and when counting began if that was asked too."""
        if reading.places is None or reading.records is None:
            reading.records = records
        else:
            reading.records.put(reading.places, records)
        kept, changed = self._keeps(reading), reading.changed_items
        if not reading.timed:
            reading.began = began
            self._began = (began, reading.time) if kept and keys.BEGAN not in changed else UNKNOWN
        if kept:
            same = [place for place, item in enumerate(reading.items) if item not in changed]
            self._slab.put([reading.items[place] for place in same], records.take(same), reading.time)

    def wrote(self, users: Iterable[str], items: Iterable[str]) -> None:
        """This process has changed these users and items: whoever asks from now on is to see it."""
        if not self._on:
            return
        for user in users:
            self._forget_user(user)
        for item in items:
            self._forget_item(item)
        if self._began[0] is None:  # and now it has
            self._forget_item(keys.BEGAN)

    def told(self, changed: Sequence[bytes] | None) -> None:
        """These keys have changed, None: any may have."""
        if changed is None:
            self._clear()
            return
        for key in changed:
            item = keys.item(key, self._head)
            if item is not None:
                self._forget_item(item)
            elif (user := keys.owner(key)) is not None:
                self._forget_user(user)

    def _forget_user(self, user: str) -> None:
        self._stored.drop(user)
        self._lists.drop(user)
        for reading in self._readings:
            reading.changed_users.add(user)

    def _forget_item(self, item: str) -> None:
        if item == keys.BEGAN:
            self._began = UNKNOWN
        self._slab.drop(item)
        for reading in self._readings:
            reading.changed_items.add(item)

    def _clear(self) -> None:
        self._stored.clear()
        self._lists.clear()
        self._slab.clear()
        self._began = UNKNOWN
        for reading in self._readings:
            reading.lost = True

    def _keeps(self, reading: Reading) -> bool:
        return self._on and self._link.tracked and not reading.lost

    def _count(self, asked: Sequence[Sequence[str]], missing: Sequence[Sequence[str]]) -> None:
        for (hits, misses), every, some in zip(self._counts, asked, missing, strict=True):
            hits.inc(len(every) - len(some))
            misses.inc(len(some))


def _split(copies: Copies[V], names: Sequence[str], since: float) -> tuple[dict[str, V], list[str]]:
    """Copies that were read at that time or later, by name, and the names that have none."""
    found = {name: copy for name in names if (copy := copies.get(name, since)) is not None}
    return found, [name for name in names if name not in found]
