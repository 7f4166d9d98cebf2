"""Taking events: each is one atomic script, so that it is in the history, in the list shown and counted, or nowhere.

A record is laid out as in model_store/counters.py, and events of any order leave the same one.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from app import keys, shown
from app.address import Command
from app.settings import Settings
from app.stored import Record
from model_store.counters import MEMORY
from model_store.features import FeatureSet
from model_store.manifest import Manifest
from model_store.moment import VIEW

SEEN = -1
EVENT_SECONDS = 86_400  # a retry of an event comes within the day
RECORD_SECONDS = 86_400  # a record outlives all that is read of it by so much

# KEYS  mark of the event · history · lists shown · began · a record an item
# ARGV  1 time · 2 seconds that the mark is kept, 0: the event has no id
#       3-5 entry of the history, '' for none; how many are kept; for how long · 6-8 the same of the lists shown
#       9 bytes of a record · 10 remembered columns in it · 11 seconds that it is kept
#       12 where the event's part begins, -1: it is not counted · 13 windows W · W steps
#       then where a column begins and its value, for each value
# -1: seen before; else how many items it came too late for, so that no window holds it.
TAKE = r"""
local time, size = tonumber(ARGV[1]), tonumber(ARGV[9])
local part, windows = tonumber(ARGV[12]), tonumber(ARGV[13])
local COUNTS = string.rep('I4', 13)

local function push(key, entry, keep, seconds)
  if entry == '' then return end
  local kind = redis.call('TYPE', key)['ok']
  if kind ~= 'list' and kind ~= 'none' then redis.call('DEL', key) end
  redis.call('LPUSH', key, entry)
  redis.call('LTRIM', key, 0, keep - 1)
  redis.call('EXPIRE', key, seconds)
end

-- everybody keeps a copy of it, so it is touched once an hour
local function begin(key)
  local held = redis.pcall('GET', key)
  held = type(held) == 'string' and tonumber(held)
  if held and held >= 0 and held < 1e11 then
    if redis.call('TTL', key) < ARGV[11] - 3600 then redis.call('EXPIRE', key, ARGV[11]) end
  else
    redis.call('SET', key, ARGV[1], 'EX', ARGV[11])
  end
end

local function read(key)
  local held = redis.pcall('GET', key)
  if type(held) == 'string' and #held == size then return held end
  local column = string.rep('\0', 8) .. struct.pack('<d', 0 / 0)
  return string.rep('\0', size - 16 * ARGV[10]) .. string.rep(column, ARGV[10])
end

local function ring(held, step)
  local bucket, newest = math.floor(time / step), struct.unpack('<I4', held)
  if bucket <= newest - 13 then return held, false end
  local place = bucket % 13
  if bucket <= newest then
    local at = 5 + 4 * place
    local count = struct.unpack('<I4', held, at)
    return held:sub(1, at - 1) .. struct.pack('<I4', count + 1) .. held:sub(at + 4), true
  end
  local counts = {struct.unpack('<' .. COUNTS, held, 5)}
  for passed = math.max(newest + 1, bucket - 12), bucket do counts[passed % 13 + 1] = 0 end
  counts[place + 1] = 1
  return struct.pack('<I4' .. COUNTS, bucket, unpack(counts, 1, 13)), true
end

local function count(held)
  local first, last = struct.unpack('<d', held), struct.unpack('<d', held, part + 1)
  if not (first > 0 and first < time) then first = time end
  if not (last > time) then last = time end
  local parts = {struct.pack('<d', first), held:sub(9, part), struct.pack('<d', last)}
  local at, late = part + 9, windows > 0
  for window = 1, windows do
    local changed, taken = ring(held:sub(at, at + 55), ARGV[13 + window])
    parts[#parts + 1] = changed
    late = late and not taken
    at = at + 56
  end
  parts[#parts + 1] = held:sub(at)
  return table.concat(parts), late
end

local function remember(held, at, value)
  if struct.unpack('<d', held, at + 1) > time then return held end
  return held:sub(1, at) .. struct.pack('<dd', time, value) .. held:sub(at + 17)
end

if ARGV[2] ~= '0' and redis.call('EXISTS', KEYS[1]) == 1 then return -1 end
push(KEYS[2], ARGV[3], ARGV[4], ARGV[5])
push(KEYS[3], ARGV[6], ARGV[7], ARGV[8])
if part >= 0 then begin(KEYS[4]) end
local missed = 0
for number = 5, #KEYS do
  local record, late = read(KEYS[number]), false
  if part >= 0 then record, late = count(record) end
  for told = 14 + windows, #ARGV, 2 do record = remember(record, ARGV[told], ARGV[told + 1]) end
  redis.call('SET', KEYS[number], record, 'EX', ARGV[11])
  if late then missed = missed + 1 end
end
if ARGV[2] ~= '0' then redis.call('SET', KEYS[1], '1', 'EX', ARGV[2]) end
return missed
"""
SHA = hashlib.sha1(TAKE.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, kw_only=True)
class StoredEvent:
    """What happened to one item, or to each of a list that was shown; on its way in.

    event: empty if it only tells values; user: None if nobody is known; values: by remembered column.
    """

    items: tuple[str, ...]
    time: float
    event: str = ""
    user: str | None = None
    event_id: str | None = None
    values: Mapping[str, float] = field(default_factory=dict)


class Ledger:
    """Writes down events as one bundle reads them."""

    def __init__(self, manifest: Manifest, features: FeatureSet, settings: Settings) -> None:
        layout = features.layout
        self._kept = frozenset(manifest.events[1:])
        self._limit = 2 * manifest.history_limit  # some are of unknown items, some came out of order
        self._seconds = settings.history_ttl_seconds
        self._shown = features.shown
        self._layout = layout.digest
        record = layout.dtype
        events, latest = record.fields["events"], record.fields["latest"]  # type: ignore[index]
        wide = events[0].itemsize // max(1, len(layout.events))
        self._parts = {name: events[1] + number * wide for number, name in enumerate(layout.events)}
        self._columns = {name: latest[1] + number * 16 for number, name in enumerate(layout.latest)}
        longest = max([MEMORY, *(window.seconds for window in layout.windows)])
        self._record: Command = (record.itemsize, len(layout.latest), int(longest) + RECORD_SECONDS)
        self._steps = tuple(window.step for window in layout.windows)

    def commands(self, events: Sequence[StoredEvent], beside: Sequence["Ledger"] = ()) -> list[Command]:
        """One command an event; the first brings the script, so that Redis knows it for the others.

        Then what versions beside this one read of the events and this one does not write.
        """
        keep = max(each._limit for each in (self, *beside))
        commands = [self._take(event, keep, script=not number) for number, event in enumerate(events)]
        for other in beside:
            if not other._within(self):
                commands += [other._take(event, keep, beside=self) for event in events]
        return commands

    def _within(self, other: "Ledger") -> bool:
        """Whether another one writes all that this one would."""
        return self._layout == other._layout and self._kept <= other._kept and self._shown <= other._shown

    def _take(
        self, event: StoredEvent, keep: int, *, script: bool = False, beside: "Ledger | None" = None
    ) -> Command:
        user, time, layout = event.user or "", event.time, self._layout
        counted = beside is None or layout != beside._layout
        part = self._parts.get(event.event, -1) if counted else -1
        values = [
            (self._columns[name], value)
            for name, value in event.values.items()
            if counted and name in self._columns
        ]
        identity = event.event_id or ""
        names = (
            keys.event(user, identity) if beside is None else keys.counted(user, layout, identity),
            keys.user(user, keys.HISTORY),
            keys.user(user, keys.SHOWN),
            keys.began(layout),
            *(keys.record(layout, item) for item in (event.items if part >= 0 or values else ())),
        )
        kept = self._keeps(event) and not (beside and beside._keeps(event))
        history = entry((event.items[0], event.event, time)) if kept else ""
        shows = self._lists(event) and not (beside and beside._lists(event))
        lists = shown.pack(time, event.items) if shows else b""
        return (
            *(("EVAL", TAKE) if script else ("EVALSHA", SHA)), len(names), *names,
            time, EVENT_SECONDS if identity else 0,
            history, keep, self._seconds, lists, shown.KEPT, shown.SECONDS,
            *self._record, part, len(self._steps), *self._steps, *chain.from_iterable(values),
        )  # fmt: skip

    def _keeps(self, event: StoredEvent) -> bool:
        return event.user is not None and event.event in self._kept

    def _lists(self, event: StoredEvent) -> bool:
        return event.user is not None and self._shown and event.event == VIEW


def entry(record: Record) -> str:
    """An entry of a history."""
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))
