"""The supervisor's part in a change of versions: all workers follow, or none does.

A worker that ends while it prepares counts as one that refuses: whatever ended it would end the others. One that
starts does so before or after, never between; it is told to serve what the others serve.
"""

import asyncio
import time
from asyncio.subprocess import Process

from pydantic import BaseModel

from app import versions, volume
from app.council import Order, Report
from app.errors import Busy, Refused, Unknown
from app.labels import Labels, Wish
from app.settings import Settings
from app.versions import Refusal
from model_store.shelf import Shelf

PATIENCE_SECONDS = versions.PATIENCE_SECONDS + 10.0  # for a worker that prepares, and has its own


class Accord:
    """What all workers serve.

    turn: held while the version changes, and while a worker starts.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._labels = Labels.of(settings)
        self.turn = asyncio.Lock()
        self._workers: dict[Process, asyncio.Future[Report] | None] = {}
        self._changing = False
        self._asked = 0

    @property
    def settings(self) -> Settings:
        """Of a worker that starts now: it must not serve a newer version than the others."""
        return self._settings.model_copy(update=self._labels.settings)

    def join(self, worker: Process) -> None:
        """From now on it has a voice."""
        self._workers[worker] = None

    def leave(self, worker: Process) -> None:
        """It has ended."""
        waiting = self._workers.pop(worker, None)
        if waiting and not waiting.done():
            waiting.set_result(Report(refused="a worker ended while it loaded it"))

    def hear(self, worker: Process, report: Report) -> None:
        """What a worker answers; what it says of an order before this one comes too late."""
        waiting = self._workers.get(worker)
        if waiting and not waiting.done() and report.number == self._asked:
            waiting.set_result(report)

    async def grant(self, worker: Process, number: int, wish: Wish) -> None:
        """Try it, and tell the worker that was asked what became of it."""
        order = Order(do="granted", number=number)
        try:
            await self.take(wish)
        except (Refused, Unknown) as error:
            order.refused, order.unknown = str(error), isinstance(error, Unknown)
        _send(worker, order)

    async def take(self, wish: Wish) -> None:
        """Have it so in all workers. Raises Unknown or Refused: then none does."""
        if self._changing:
            raise Busy("another version is being loaded; try again when it is served or refused")
        self._changing = True
        try:
            async with self.turn:
                shelf = Shelf(self._settings.store)
                await self._change(await volume.ask(lambda: self._labels.after(wish, shelf)))
        finally:
            self._changing = False

    async def _change(self, labels: Labels) -> None:
        answers = await self._ask(Order(do="prepare", labels=labels))
        reason = next((each.refused for each in answers if each.refused), "")
        if reason:
            new = (version for version in labels.active if version not in self._labels.active)
            refusal = Refusal(version=next(new, labels.stable), error=reason, time=time.time())
            await self._ask(Order(do="abandon", refusal=refusal))
            raise Refused(reason)
        self._labels = labels
        await self._ask(Order(do="commit"))

    async def _ask(self, order: Order) -> list[Report]:
        """The answers of all workers that live."""
        loop = asyncio.get_running_loop()
        self._asked = order.number = self._asked + 1
        for worker in self._workers:
            self._workers[worker] = loop.create_future()
            _send(worker, order)
        waiting = [each for each in self._workers.values() if each]
        if waiting:
            await asyncio.wait(waiting, timeout=PATIENCE_SECONDS)
        late = Report(refused=f"a worker did not answer within {PATIENCE_SECONDS:.0f} s")
        return [each.result() if each.done() else late for each in waiting]


def _send(worker: Process, told: BaseModel) -> None:
    if worker.stdin and not worker.stdin.is_closing():
        worker.stdin.write(f"{told.model_dump_json()}\n".encode())
