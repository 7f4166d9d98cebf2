"""One connection to Redis: commands go out at once, replies come back in their order, pushes stand aside.

trips    ──▶ [c c c][c][c c] ──▶ Redis        nobody waits for another's reply; who asks in the same turn asks at once
                                              a trip is done when as many replies have come as it has commands
replies  ◀── [r r r]  [r ...  ◀──             RESP3: a push may come between any two of them

A trip has a time by which it is answered, never before that of the one ahead of it. If the first of them is late the
whole connection is given up: no reply can ever reach another's trip.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

import hiredis
from redis.exceptions import BusyLoadingError, InvalidResponse, RedisError, ResponseError

from app.address import Command

GRACE = 0.001  # seconds for a reply that already lies here, if this process was too busy to read it
MORE = object()  # the rest of a reply is still on its way

Told = Callable[[list[bytes] | None], None]  # keys that others changed; None: any may have been


class Trip:
    """Commands on their way, and the replies so far."""

    __slots__ = ("answer", "due", "replies", "size")

    def __init__(self, answer: asyncio.Future[list[Any]], size: int, due: float) -> None:
        self.answer = answer
        self.size = size
        self.due = due
        self.replies: list[Any] = []


class Wire(asyncio.Protocol):
    """A connection, from its beginning to its one end. `told`: of keys that others changed; `ended`: why."""

    def __init__(self, told: Told, ended: Callable[["Wire", Exception], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._told = told
        self._ended = ended
        self._reader = hiredis.Reader(replyError=_refusal, notEnoughData=MORE)
        self._trips: deque[Trip] = deque()
        self._out: list[bytes] = []  # commands of this turn of the event loop
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None
        self._end: Exception | None = None
        self._leaving = False
        self.flying = 0  # commands that are not answered yet
        self.due = 0.0  # when the last of them is to be, 0: there is none

    def send(self, commands: Sequence[Command], seconds: float) -> asyncio.Future[list[Any]]:
        """Replies by command, refusals among them; fails with RedisError or OSError when the connection ends."""
        answer = self._loop.create_future()
        if self._end or self._transport is None:
            answer.set_exception(self._end or ConnectionError("not connected"))
            return answer
        self.due = max(self._loop.time() + seconds, self.due)
        self._trips.append(Trip(answer, len(commands), self.due))
        self.flying += len(commands)
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out += map(_packed, commands)
        if self._timer is None or self._timer.when() > self.due:
            self._look(self.due)
        return answer

    def leave(self) -> None:
        """End as soon as nobody waits for a reply."""
        self._leaving = True
        if not self._trips:
            self.end(ConnectionError("it was left for another one"))

    def end(self, error: Exception) -> None:
        """Give the connection up, and all trips with it."""
        if self._end:
            return
        self._end = error
        if self._timer:
            self._timer.cancel()
        if self._transport:
            self._transport.abort()
        for trip in self._trips:
            if not trip.answer.done():
                trip.answer.set_exception(error)
        self._trips.clear()
        self._ended(self, error)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.end(exc or ConnectionError("Redis closed the connection"))

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while not self._end and (reply := self._reader.gets()) is not MORE:
                if isinstance(reply, hiredis.PushNotification):
                    self._push(reply)
                else:
                    self._take(reply)
        except hiredis.ProtocolError as error:
            self.end(InvalidResponse(f"this is no reply of Redis: {error}"))

    def _flush(self) -> None:
        """The commands of all who asked in one turn go out in one call of the system."""
        if self._transport and not self._end:
            self._transport.write(b"".join(self._out))
        self._out.clear()

    def _take(self, reply: Any) -> None:
        if not self._trips:
            self.end(ConnectionError("Redis said something and nobody had asked"))
            return
        trip = self._trips[0]
        trip.replies.append(reply)
        if len(trip.replies) < trip.size:
            return
        self._trips.popleft()
        self.flying -= trip.size
        if not self._trips:
            self.due = 0.0
        if not trip.answer.done():  # else whoever asked has gone
            trip.answer.set_result(trip.replies)
        if self._leaving:
            self.leave()

    def _push(self, push: Sequence[Any]) -> None:
        if push[0] == b"invalidate":
            self._told(push[1])

    def _look(self, when: float, late: Trip | None = None) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._check, late)

    def _check(self, late: Trip | None) -> None:
        """Is the first trip late? `late`: it was, a moment ago."""
        self._timer = None
        if not self._trips:
            return
        first, now = self._trips[0], self._loop.time()
        if first.due > now:
            self._look(first.due)
        elif first is not late:
            self._look(now + GRACE, first)
        else:
            self.end(TimeoutError("it did not answer in time"))


def _packed(command: Command) -> bytes:
    return bytes(hiredis.pack_command(command))  # type: ignore[arg-type] # its stub means a tuple of any length


def _refusal(text: str) -> RedisError:
    """What Redis says instead of a reply; while it loads its data it is as good as away."""
    return BusyLoadingError(text) if text.startswith("LOADING") else ResponseError(text)
