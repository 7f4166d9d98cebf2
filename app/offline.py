"""Scoring a file as POST /score would: the same rows in the same order, one more column a task, `score` and `error`.

Columns: item_id, and user_id, query or history (JSONL only); timestamp if the rows have moments, else all are of the
moment that scoring began. Class tasks become a column of JSON. A row that cannot be scored has nulls, and why.

Rows that say no more than user, query, moment and an item of the catalogue are scored side by side, and none becomes
an object; all others take the path of /score.
"""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from app import files
from app.api import ask as api
from app.api.body import parse_or
from app.api.pairs import Pair, ScoreRequest, scored
from app.api.schema import Context
from app.errors import Invalid, SettingsError
from app.groups import COLD, NOW, NUMBER, ROW, TEXTS, Groups
from app.memory import Lru
from app.metrics import Metrics, Stages
from app.model import Model
from app.outcome import SCORE, Column, Named
from app.question import Ask, Known
from app.settings import Settings
from model_store.engine import cores

SLICE = 32_768  # rows of a part; as many are under way as there are cores, and one more
TOGETHER = 1_000  # asks of one round trip to Redis
KNOWN = 2_000  # asks whose users are not fetched again, and copies: 5 KB each where histories have 50 events
AT_ONCE = 256  # rows that take the path of /score at once
NAMES = ("item_id", *TEXTS, "timestamp", *COLD)
IDS = ("item_id", "user_id")
ERROR = "error"

Progress = Callable[[int, int], None]  # rows done, of how many


@dataclass
class Summary:
    """How many rows there were, could not be scored, and were scored while Redis was away."""

    rows: int = 0
    failed: int = 0
    away: int = 0


def frugal(settings: Settings) -> Settings:
    """The same for a file: it asks for most users once, and memory is not to grow with their number."""
    return settings.model_copy(update={"local_cache": KNOWN})


async def score(path: Path, out: Path, model: Model, metrics: Metrics, progress: Progress) -> Summary:
    """Score a file into another. SettingsError says what is wrong with one of them."""
    scoring = Scoring(model, metrics)
    with files.beside(out) as room:
        frame = await asyncio.to_thread(room.scan, path)
        scoring.check(frame.collect_schema().names(), path)
        total = int(frame.select(pl.len()).collect().item())

        async def work(begin: int) -> pl.DataFrame:
            rows = await asyncio.to_thread(frame.slice(begin, SLICE).collect)
            found = await scoring.scored(rows)
            progress(scoring.summary.rows, total)
            return found

        parts = _ahead(map(work, range(0, total, SLICE)), asyncio.get_running_loop())
        await asyncio.to_thread(room.write, out, parts, frame.collect_schema() | scoring.schema)
    return scoring.summary


class Scoring:
    """Scores the rows of one file with one model."""

    def __init__(self, model: Model, metrics: Metrics) -> None:
        moment = datetime.now(UTC)
        self._model, self._metrics = model, metrics
        self._groups = Groups(model.catalogue, moment)
        self._given = ScoreRequest(context=Context.model_validate({"timestamp": moment}))
        self._words = api.words(None, model.engine.features)
        self._known: Lru[tuple[object, ...], Known] = Lru(KNOWN)
        scalar = {task.name: task.scalar for task in model.manifest.answered} | {SCORE: True, ERROR: False}
        self.schema = {name: pl.Float64() if one else pl.String() for name, one in scalar.items()}
        self._numbered = {NUMBER: pl.Int64(), **self.schema}
        self.summary = Summary()

    def check(self, columns: Sequence[str], path: Path) -> None:
        """Refuse a file that lacks what is needed, or that has a column which would be written."""
        if "item_id" not in columns or not {"user_id", "history", "query"} & set(columns):
            raise SettingsError(f"{path} has {list(columns)}; it needs item_id and user_id, query or history")
        taken = [name for name in self.schema if name in columns]
        if taken:
            raise SettingsError(f"{path} has {', '.join(taken)} already; rename what would be overwritten")

    async def scored(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The rows, and beside each what is said of it."""
        named = frame.with_columns(_texts(frame[name]) for name in IDS if name in frame.columns)
        asks, rest = await asyncio.to_thread(self._groups.split, named)
        found, others = [pl.DataFrame(schema=self._numbered)], [rest]
        for some in asks.iter_slices(TOGETHER):
            for numbers, columns in await self._plain(some):
                if columns is None:
                    others.append(numbers)
                else:
                    found.append(self._told(numbers, columns))
        found += await self._general(named, pl.concat(others))
        whole = pl.concat(found).sort(NUMBER).drop(NUMBER)
        self.summary.rows += len(frame)
        self.summary.failed += whole[ERROR].count()
        return frame.hstack(whole)

    async def _plain(self, asks: pl.DataFrame) -> list[tuple[pl.Series, dict[str, Column] | None]]:
        """What is said of the rows of asks, with their numbers; None: something is wrong with one of them."""
        asked = [
            Ask(now=now, fusion=self._model.fusion, user_id=user, query=query, words=self._words)
            for user, query, now in asks.select(*TEXTS, NOW).iter_rows()
        ]
        sizes = asks[NUMBER].list.len().to_numpy().astype(np.int64)
        rows, numbers = asks[ROW].explode().to_numpy(), asks[NUMBER].explode()
        recommender = self._model.recommender
        known = await recommender.counted(await self._learned(asked), rows)
        self.summary.away += sum(int(size) for size, one in zip(sizes, known, strict=True) if one.without)
        found = await recommender.columns(asked, known, rows, sizes)
        return [(numbers[part], columns) for part, columns in found]

    async def _learned(self, asks: Sequence[Ask]) -> list[Known]:
        """What is known of each ask; who comes again is not fetched again."""
        known = {_key(ask): self._known.get(_key(ask)) for ask in asks}
        new = [ask for ask, one in zip(asks, known.values(), strict=True) if one is None]
        if new:
            learned = await self._model.recommender.learn(new, Stages(self._metrics))
            for ask, one in zip(new, learned, strict=True):
                kept = replace(one, texts={})  # they are those of all asks that were learned with it
                known[_key(ask)] = kept
                self._known.put(_key(ask), kept)
        return [one for one in known.values() if one is not None]

    def _told(self, numbers: pl.Series, columns: Mapping[str, Column]) -> pl.DataFrame:
        told = {
            name: _written(column) if isinstance(column, Named) else column
            for name, column in columns.items()
        }
        return pl.DataFrame({NUMBER: numbers, **told, ERROR: None}, schema=self._numbered)

    async def _general(self, frame: pl.DataFrame, numbers: pl.Series) -> list[pl.DataFrame]:
        """What is said of other rows, one by one."""
        names, found = [name for name in NAMES if name in frame.columns], []
        for some in frame[numbers].select(names).iter_slices(AT_ONCE) if len(numbers) else ():
            pairs = [_pair(row) for row in some.iter_rows(named=True)]
            stages = Stages(self._metrics)
            _, results, without = await scored(pairs, self._given, lambda _: self._model, stages)
            self.summary.away += len(results) if without else 0
            found += [self._cells(result) for result in results]
        return [pl.DataFrame(found, schema=self.schema).insert_column(0, numbers)] if found else []

    def _cells(self, result: Mapping[str, Any]) -> dict[str, Any]:
        tasks = {name: _cell(value) for name, value in result.get("tasks", {}).items()}
        return dict.fromkeys(self.schema) | tasks | {SCORE: result.get("score"), ERROR: result.get("error")}


def _ahead(
    works: Iterable[Coroutine[Any, Any, pl.DataFrame]], loop: asyncio.AbstractEventLoop
) -> Iterator[pl.DataFrame]:
    """What comes of each work, in order, for another thread than the loop's: some are under way before."""
    waiting: deque[Future[pl.DataFrame]] = deque()
    for each in works:
        waiting.append(asyncio.run_coroutine_threadsafe(each, loop))
        if len(waiting) > cores():
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _texts(ids: pl.Series) -> pl.Series:
    """Whole numbers as the text that training makes of them: 12, and 12.0 of a column with gaps, are "12"."""
    if ids.dtype.is_float():
        known = ids.fill_nan(None)
        ids = known.cast(pl.Int64) if known.is_finite().all() and (known == known.round()).all() else known
    return ids.cast(pl.String) if ids.dtype.is_integer() else ids


def _key(ask: Ask) -> tuple[object, ...]:
    return ask.user_id, ask.query, ask.now


def _pair(row: Mapping[str, Any]) -> Pair | Invalid:
    given = {name: value for name, value in row.items() if value is not None}
    if hasattr(given.get("timestamp"), "isoformat"):
        given["timestamp"] = given["timestamp"].isoformat()
    return parse_or(Pair, json.dumps(given, default=str).encode())


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict) else value


def _written(column: Named) -> pl.Series:
    """Numbers by name as JSON, row by row."""
    names = pl.Series([json.dumps(name) for name in column.names])
    parts: list[Any] = []
    for place in range(column.places.shape[1]):
        parts += [pl.lit(", " if place else "{"), names.gather(column.places[:, place]), pl.lit(": ")]
        parts.append(pl.Series(np.ascontiguousarray(column.numbers[:, place])).cast(pl.String))
    return pl.select(pl.concat_str(*parts, pl.lit("}"))).to_series()
