"""What a worker and its supervisor say to each other, a line of JSON each, and what the worker does of it.

worker                      supervisor
  ready, refused ─────────►   once, after its start
  wish 7: version 3 ──────►   asks all workers
  ◄────── prepare labels      and so do all the others
  prepared, or why not ───►
  ◄───── commit, abandon      all workers are ready, or one is not
  done ───────────────────►
  ◄──────────── granted 7     or why not
"""

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Literal

from pydantic import BaseModel

from app.errors import Refused, ServiceError, Unknown
from app.labels import Labels, Wish
from app.versions import Refusal, Versions


class Report(BaseModel):
    """What a worker says. refused: why it is not ready, or not prepared; number: of the wish, or of the order."""

    about: Literal["start", "wish", "prepare", "done"] = "start"
    serves: str = ""
    redis: str = ""
    refused: str = ""
    number: int = 0
    wish: Wish | None = None


class Order(BaseModel):
    """What a supervisor says. labels: to be prepared.

    refused: why a wish was not granted, `unknown`: the shelf has no such version.
    """

    do: Literal["prepare", "commit", "abandon", "granted"]
    labels: Labels | None = None
    refusal: Refusal | None = None
    number: int = 0
    refused: str = ""
    unknown: bool = False


class Council:
    """A worker's part."""

    def __init__(self, versions: Versions, say: Callable[[Report], None]) -> None:
        self._versions = versions
        self._say = say
        self._numbers = count(1)
        self._wishes: dict[int, asyncio.Future[Order]] = {}
        self._preparing: asyncio.Task[None] | None = None

    async def take(self, wish: Wish) -> None:
        """Have it so in all workers. Raises Unknown or Refused: then none does."""
        number = next(self._numbers)
        answer = self._wishes[number] = asyncio.get_running_loop().create_future()
        self._say(Report(about="wish", number=number, wish=wish))
        try:
            told = await answer
        finally:
            del self._wishes[number]
        if told.refused:
            raise (Unknown if told.unknown else Refused)(told.refused)

    def hear(self, order: Order) -> None:
        """Do as told."""
        if order.labels is not None:
            self._preparing = asyncio.create_task(self._prepare(order.labels, order.number))
        elif order.do == "granted":
            if waiting := self._wishes.get(order.number):
                waiting.set_result(order)
        else:
            self._end(order)
            self._say(Report(about="done", number=order.number))

    async def _prepare(self, labels: Labels, number: int) -> None:
        try:
            await self._versions.prepare(labels)
        except ServiceError as error:
            self._say(Report(about="prepare", number=number, refused=str(error)))
        else:
            self._say(Report(about="prepare", number=number))

    def _end(self, order: Order) -> None:
        if order.do == "commit":
            self._versions.commit()
        else:
            if self._preparing:  # it may hang: then nothing else could be prepared
                self._preparing.cancel()
            self._versions.abandon(order.refusal)
