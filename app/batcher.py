"""Encoding texts, on threads of their own.

The texts that wait are run together, up to so many tokens with padding; nobody waits for a batch to fill: while one
runs, the next one gathers. Where a text's vector would have other bits in a batch, each is run alone: on a CPU that
is fp32, and bundles whose int8 was scaled by what was in a run.

What is encoded while others still wait is handed over with the next ones: a turn of the event loop for a few costs
little more than one for each, and on a machine with one core it stands in the encoder's way.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from app.metrics import Metrics
from app.priority import TEXTS, give_way
from app.pulse import Pulse
from app.stored import Row
from model_store.engine import Engine

TOKENS = 64  # of a text of some length
ENDS, LETTERS = 2, 4  # tokens around a text, letters of a token
HELD = 0.01  # seconds that a row may be kept back while others wait to be encoded


class Asked(NamedTuple):
    """A text, who waits for its row, and since when."""

    text: str
    row: asyncio.Future[Row]
    since: float


class Job(NamedTuple):
    """The same, with its tokens (L,)."""

    tokens: NDArray[np.int64]
    row: asyncio.Future[Row]


class Done(NamedTuple):
    """Who waits for the rows of one run (n, d + W), or what went wrong with them."""

    waiting: Sequence[asyncio.Future[Row]]
    rows: Row | Exception


class Batcher:
    """Texts in, rows out. `most`: tokens that may wait; `tokens`: of one run with padding, 0: each text alone."""

    def __init__(self, engine: Engine, metrics: Metrics, *, threads: int, most: int, tokens: int = 0) -> None:
        self._engine = engine
        self._most = most
        self.pulse = Pulse()
        self._tokens = tokens
        self._takers = threads if engine.device == "cpu" else 1  # who could run what waits at the same time
        self._waiting, self._together = metrics.waiting, metrics.together
        self._ahead = metrics.tokens_waiting
        self._encodes = metrics.encodes.labels("text")
        self._waits = metrics.queues.labels("texts")
        self._queue: SimpleQueue[Asked | None] = SimpleQueue()
        self._closed = False
        names = (f"texts-{number}" for number in range(threads))
        # daemons: a model that was never closed does not keep its process from ending
        self._threads = [Thread(target=self._work, name=name, daemon=True) for name in names]
        for thread in self._threads:
            thread.start()

    def takes(self, texts: Sequence[str]) -> bool:
        """Whether texts that come together would not wait too long: all or none; all where nothing waits."""
        ahead = self._ahead.value
        return ahead == 0.0 or ahead + sum(map(self._cost, texts)) <= self._most

    @property
    def abreast(self) -> int:
        """How many texts keep it busy; what is beyond that only stands in others' way."""
        return max(2 * len(self._threads), self._tokens // TOKENS)

    def encode(self, text: str) -> asyncio.Future[Row]:
        """The row of a text: its vector and the outputs of the item-only tasks, (d + W,)."""
        row: asyncio.Future[Row] = asyncio.get_running_loop().create_future()
        self._waiting.inc()
        self._ahead.inc(self._cost(text))
        self._queue.put(Asked(text, row, time.perf_counter()))
        return row

    def close(self) -> None:
        """End the threads after what they are at; what still waits is dropped."""
        self._closed = True
        for _ in self._threads:
            self._queue.put(None)

    def _work(self) -> None:
        give_way(TEXTS)
        held, late = None, 0.0
        done: list[Done] = []
        while not self._closed:
            first = held or self._next(wait=not done)
            if first is not None:
                batch, held = self._filled(first)
                late = late if done else time.monotonic() + HELD
                done.append(self._run(batch))
            if done and (first is None or time.monotonic() >= late):
                self._tell(done)
                done = []
        if done:
            self._tell(done)

    def _run(self, batch: Sequence[Job]) -> Done:
        self._together.observe(len(batch))
        waiting = [job.row for job in batch]
        try:
            with self.pulse:
                return Done(waiting, self._engine.rows([job.tokens for job in batch]))
        except Exception as error:  # noqa: BLE001 it is for those who wait
            return Done(waiting, error)

    def _filled(self, first: Job) -> tuple[list[Job], Job | None]:
        """A batch that begins with a job, and the first that did not fit into it; a part is left to other threads."""
        batch, longest, most = [first], len(first.tokens), 1 + self._queue.qsize() // self._takers
        while (
            len(batch) < most
            and (len(batch) + 1) * longest <= self._tokens
            and (job := self._next(wait=False))
        ):
            longest = max(longest, len(job.tokens))
            if (len(batch) + 1) * longest > self._tokens:
                return batch, job
            batch.append(job)
        return batch, None

    def _next(self, *, wait: bool) -> Job | None:
        """The next one; None if there is none now, or if this is the end."""
        try:
            while asked := self._queue.get(block=wait):
                self._waiting.dec()
                self._ahead.inc(-self._cost(asked.text))
                if asked.row.cancelled():  # nobody waits for it any more
                    continue
                self._waits.observe(time.perf_counter() - asked.since)
                try:
                    return Job(self._engine.tokenizer.encode(asked.text), asked.row)
                except Exception as error:  # noqa: BLE001 the same
                    self._tell([Done([asked.row], error)])
        except Empty:
            pass
        return None

    def _cost(self, text: str) -> int:
        """Tokens of a text, by its length: it is cut into them when its turn comes."""
        return min(ENDS + len(text) // LETTERS, self._engine.manifest.max_tokens)

    def _tell(self, done: Sequence[Done]) -> None:
        """Hand over what is done on the event loop."""
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            done[0].waiting[0].get_loop().call_soon_threadsafe(self._land, done)

    def _land(self, done: Sequence[Done]) -> None:
        for waiting, rows in done:
            self._encodes.inc(0 if isinstance(rows, Exception) else len(waiting))
            for number, row in enumerate(waiting):
                if row.cancelled():
                    continue
                if isinstance(rows, Exception):
                    row.set_exception(rows)
                else:
                    row.set_result(rows[number])
