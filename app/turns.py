"""Little work of many requests, done at once: what is ready in one turn of the event loop is answered in the next.

To rank one candidate costs half as much as to rank a hundred, and under load many requests are ready at a time.
Nobody waits for others to come.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from app.question import Ask, Known
from app.ranker import Answer
from app.series import Level, Spread

Finish = Callable[[Sequence[Ask], Sequence[Known]], list[Answer]]


class Share(NamedTuple):
    """What one request asks and knows, how many candidates that are, and who waits for its answers."""

    asks: Sequence[Ask]
    known: Sequence[Known]
    size: int
    answers: asyncio.Future[list[Answer]]
    since: float


class Turns:
    """Asks that `finish` answers, at most so many candidates between two turns; a request stays whole.

    level: of the candidates that wait; waits: how long each request does.
    """

    def __init__(self, finish: Finish, level: Level, waits: Spread, *, most: int) -> None:
        self.finish = finish
        self._level = level
        self._waits = waits
        self._most = most
        self._waiting: deque[Share] = deque()

    def answers(self, asks: Sequence[Ask], known: Sequence[Known], size: int) -> asyncio.Future[list[Answer]]:
        """Made with those of all who ask in this turn; what goes wrong goes wrong for its own request."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._turn)
        share = Share(asks, known, size, loop.create_future(), time.perf_counter())
        self._waiting.append(share)
        self._level.inc(size)
        return share.answers

    def _turn(self) -> None:
        shares: list[Share] = []
        size, now = 0, time.perf_counter()
        while self._waiting and (not shares or size + self._waiting[0].size <= self._most):
            share = self._waiting.popleft()
            self._level.inc(-share.size)
            if not share.answers.done():  # else whoever asked has gone
                shares.append(share)
                self._waits.observe(now - share.since)
                size += share.size
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._turn)
        if shares:
            self._answer(shares)

    def _answer(self, shares: Sequence[Share]) -> None:
        asks = [ask for share in shares for ask in share.asks]
        known = [one for share in shares for one in share.known]
        try:
            answers = iter(self.finish(asks, known))
        except Exception as error:  # noqa: BLE001 it is for whoever asked
            if len(shares) == 1:
                shares[0].answers.set_exception(error)
            else:
                for share in shares:
                    self._answer([share])
        else:
            for share in shares:
                share.answers.set_result([next(answers) for _ in share.asks])
