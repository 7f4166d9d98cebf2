"""The supervisor's part in a change of versions: all workers serve the new one, or none does.

A worker that ends while it prepares counts as one that refuses: whatever ended it would end the others. One that
starts does so before or after, never between; it is told to serve what the others serve.
"""

import asyncio
import time
from asyncio.subprocess import Process

from pydantic import BaseModel

from app.council import Order, Report
from app.errors import Refused, Unknown
from app.settings import Settings
from app.versions import Refusal, Wish, found
from model_store.shelf import Shelf

PATIENCE_SECONDS = 600.0  # for a worker that prepares


class Accord:
    """What all workers serve: `settings` name its version.

    turn: held while the version changes, and while a worker starts.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = pinned(settings)
        self.turn = asyncio.Lock()
        self._before: int | None = None
        self._workers: dict[Process, asyncio.Future[Report] | None] = {}
        self._changing = False

    def join(self, worker: Process) -> None:
        """From now on it has a voice."""
        self._workers[worker] = None

    def leave(self, worker: Process) -> None:
        """It has ended."""
        waiting = self._workers.pop(worker, None)
        if waiting and not waiting.done():
            waiting.set_result(Report(refused="a worker ended while it loaded it"))

    def hear(self, worker: Process, report: Report) -> None:
        """What a worker answers."""
        waiting = self._workers.get(worker)
        if waiting and not waiting.done():
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
        """Have all workers serve another version. Raises Unknown or Refused: then none does."""
        if self._changing:
            raise Refused("another version is being loaded; try again when it is served or refused")
        self._changing = True
        try:
            async with self.turn:
                settings = self.settings
                await self._change(found(wish, Shelf(settings.store), settings.model or "", self._before))
        finally:
            self._changing = False

    async def _change(self, version: int) -> None:
        answers = await self._ask(Order(do="prepare", version=version))
        reason = next((each.refused for each in answers if each.refused), "")
        if reason:
            refusal = Refusal(version=version, error=reason, time=time.time())
            await self._ask(Order(do="abandon", refusal=refusal))
            raise Refused(reason)
        if version != self.settings.version:
            self._before = self.settings.version
            self.settings = self.settings.model_copy(update={"version": version})
        await self._ask(Order(do="commit"))

    async def _ask(self, order: Order) -> list[Report]:
        """The answers of all workers that live."""
        loop = asyncio.get_running_loop()
        for worker in self._workers:
            self._workers[worker] = loop.create_future()
            _send(worker, order)
        waiting = [each for each in self._workers.values() if each]
        if waiting:
            await asyncio.wait(waiting, timeout=PATIENCE_SECONDS)
        late = Report(refused=f"a worker did not answer within {PATIENCE_SECONDS:.0f} s")
        return [each.result() if each.done() else late for each in waiting]


def pinned(settings: Settings) -> Settings:
    """Of one version: a worker that is replaced later must not serve a newer one than the others."""
    folder = Shelf(settings.store).find(settings.model, settings.version)
    return settings.model_copy(update={"model": folder.parent.name, "version": int(folder.name)})


def _send(worker: Process, told: BaseModel) -> None:
    if worker.stdin and not worker.stdin.is_closing():
        worker.stdin.write(f"{told.model_dump_json()}\n".encode())
