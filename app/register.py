"""Items that were put and deleted at runtime, as Redis keeps them: their sources, and when each was changed last.

log       every id that was ever put or deleted, scored by the version of its last change: a follower that knows all
          up to a version reads what came after it, however long it was away, and the log never grows by changes
sources   id to source, a JSON object; an id of the log that is not here was deleted
rows      id to what its text was encoded to by one model, behind the digest of that text; for 90 days

Versions are microseconds of Redis' clock, each greater than the one before, and than all that its writer has seen:
Redis may lose its data, and its clock go back. Every change is one script.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app import keys
from app.address import Command
from app.candidates import Described
from app.errors import CacheAway, NotStored
from app.link import Link
from app.stored import Row, pack, unpack
from app.texts import digest
from model_store.manifest import Manifest
from model_store.text import render

log = logging.getLogger(__name__)

MOST = 100_000  # items put at runtime: each search computes all their products
ROW_SECONDS = 90 * 86_400
TAG = 16  # bytes of a digest
CHANGE_SECONDS = 1e-3  # that one change may take beyond the timeout

CLOCK = """
local time = redis.call('TIME')
local version = time[1] * 1000000 + time[2]
local last = redis.call('ZREVRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if last[2] and tonumber(last[2]) > version then version = tonumber(last[2]) end
if tonumber(ARGV[1]) > version then version = tonumber(ARGV[1]) end
"""
# KEYS log, sources, rows · ARGV a version before, most, seconds, then id, source and row of each.
# Versions, 0: there is no room.
PUT = (
    CLOCK
    + """
local found, held = {}, redis.call('HLEN', KEYS[2])
for at = 4, #ARGV, 3 do
  local new = redis.call('HEXISTS', KEYS[2], ARGV[at]) == 0
  if new and held >= tonumber(ARGV[2]) then
    found[#found + 1] = 0
  else
    if new then held = held + 1 end
    version = version + 1
    redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 1])
    redis.call('HSET', KEYS[3], ARGV[at], ARGV[at + 2])
    redis.call('ZADD', KEYS[1], string.format('%.0f', version), ARGV[at])
    found[#found + 1] = version
  end
end
redis.call('EXPIRE', KEYS[3], ARGV[3])
return found
"""
)
# KEYS log, sources, rows · ARGV a version before, ids. Versions.
DELETE = (
    CLOCK
    + """
local found = {}
for at = 2, #ARGV do
  version = version + 1
  redis.call('HDEL', KEYS[2], ARGV[at])
  redis.call('HDEL', KEYS[3], ARGV[at])
  redis.call('ZADD', KEYS[1], string.format('%.0f', version), ARGV[at])
  found[at - 1] = version
end
return found
"""
)
# KEYS log, sources, rows · ARGV a version, most. Of each change after it id, version, source and row, or nil.
SINCE = """
local changed = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
local found = {}
for at = 1, #changed, 2 do
  local id = changed[at]
  found[#found + 1] = {
    id, changed[at + 1], redis.call('HGET', KEYS[2], id), redis.call('HGET', KEYS[3], id)
  }
end
return found
"""


@dataclass(frozen=True)
class Source:
    """An item as it was put: its fields, whatever a bundle makes of them. published: unix seconds."""

    item_id: str
    text: Mapping[str, Any]
    attributes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    published: float | None = None

    def described(self, manifest: Manifest) -> Described:
        """The item as a bundle reads it; its text is empty if the bundle reads none of its fields."""
        return Described(
            item_id=self.item_id,
            text=render(manifest.item_text, self.text),
            attributes={
                name: tuple(values) for name, values in self.attributes.items() if name in manifest.attributes
            },
            published=float("nan") if self.published is None else self.published,
            numbers=self.numbers,
        )

    def pack(self) -> bytes:
        """As Redis keeps it."""
        fields = {
            name: value for name, value in vars(self).items() if name != "item_id" and value is not None
        }
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Change:
    """The last change of an item. source None: deleted; row: of the text with that digest, None: of no text."""

    item_id: str
    version: int
    source: Source | None = None
    row: Row | None = None
    digest: bytes = b""


class Register:
    """Runtime items of one catalogue, by the bundle's name; rows of one model."""

    def __init__(self, link: Link, manifest: Manifest, most: int = MOST) -> None:
        self._link = link
        self._most = most
        self._width = manifest.dimension + sum(task.width for task in manifest.text_tasks)
        rows = keys.rows(manifest.name, manifest.fingerprint[:16])
        self._keys = (keys.items(manifest.name, keys.LOG), keys.items(manifest.name, keys.SOURCES), rows)

    async def put(self, items: Sequence[tuple[Source, str, Row]], *, after: int = 0) -> list[int]:
        """Keep sources with their texts and rows; the version of each, 0 if there is no room. Raises NotStored.

        after: a version that each is to be greater than.
        """
        entries: list[str | bytes] = []
        for source, text, row in items:
            entries += (source.item_id, source.pack(), pack(row, digest(text)))
        return await self._change(PUT, (after, self._most, ROW_SECONDS, *entries), len(items))

    async def delete(self, ids: Sequence[str], *, after: int = 0) -> list[int]:
        """The version of each change, as above. Raises NotStored."""
        return await self._change(DELETE, (after, *ids), len(ids))

    async def since(self, version: int, most: int) -> list[Change]:
        """The first changes after a version, in their order. Raises CacheAway."""
        [found] = await self._link.run(
            "items", [self._script(SINCE, (version, most))], more=CHANGE_SECONDS * most
        )
        if isinstance(found, Exception):
            raise CacheAway(f"Redis does not tell of items: {found}")
        return [self._read(*each) for each in found]

    async def keep(self, rows: Mapping[str, tuple[str, Row]]) -> None:
        """Remember texts and rows by item, for the next start. Raises CacheAway."""
        entries: list[str | bytes] = []
        for item, (text, row) in rows.items():
            entries += (item, pack(row, digest(text)))
        kept = self._keys[2]
        commands: list[Command] = [("HSET", kept, *entries), ("EXPIRE", kept, ROW_SECONDS)]
        await self._link.run("items", commands if entries else [])

    async def _change(self, script: str, told: Command, size: int) -> list[int]:
        try:
            [found] = await self._link.run("items", [self._script(script, told)], more=CHANGE_SECONDS * size)
        except CacheAway as error:
            raise NotStored("Redis is away; send the items again") from error
        if isinstance(found, Exception):
            raise NotStored(f"Redis refused the change ({found}); send the items again")
        return [int(version) for version in found]

    def _script(self, script: str, told: Command) -> Command:
        return ("EVAL", script, len(self._keys), *self._keys, *told)

    def _read(self, item: bytes, version: bytes, source: bytes | None, row: bytes | None) -> Change:
        name, at = item.decode(), int(float(version))
        if source is None:
            return Change(name, at)
        found = unpack(row, self._width, tag=TAG)
        tag = row[4 : 4 + TAG] if row is not None and found is not None else b""
        try:
            return Change(name, at, Source(item_id=name, **json.loads(source)), found, tag)
        except (ValueError, TypeError):
            log.warning("the source of item %r in Redis is none; it counts as deleted", name)
            return Change(name, at)
