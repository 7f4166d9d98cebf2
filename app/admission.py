"""How much work a process takes: what would have to wait too long is refused before a byte of it is parsed.

Work is counted in candidates, by the length of bodies, and in seconds of the event loop's thread, which runs nearly
all of it; what a candidate costs is learned from what the thread took for those before. What comes in now waits for
what was read with it in this turn of the loop, and for candidates that wait for the heads:

    a burst     may make as long a wait as is allowed at all: of callers who come together, or because the machine
                stood still and all come now who came meanwhile. What lies there is less and less
    overload    of late, for as long as that, clearly more was asked for than can be done in it; or the wait was not
                short for ten times as long: now it is kept to a tenth, until it is short once

This is controlled delay (Nichols and Jacobson 2012; with two limits as in Maurer, "Fail at Scale", 2015): a queue
that does not empty helps nobody. But one that a pause has filled takes four times as long to empty at four fifths of
what can be done, and refusing helps nobody either; so what is asked for tells the two apart, and the wait only if
that fails. What waits for Redis, or on other threads, takes nothing of this one's time.
"""

import asyncio
import time
from collections.abc import Callable
from math import exp, expm1

from app.metrics import Metrics

BYTES = 12  # of a body, a candidate
HEAD = 150  # candidates that cost as much as a request without any
PRICE = 3e-6  # seconds a candidate, until it is known better
LEARNED = 2.0  # seconds of work, what is older counting less: a pause is to be little among them
SHARE = 0.1  # of the longest wait, where waiting has become the rule
LONG = 10.0  # times the longest wait
MUCH = 1.1  # times what can be done: by chance it is less
MOST = 2.0  # times the same: who asks for more is not remembered for longer
JOBS = 16  # requests that may wait whatever they cost: so many callers may ask without a pause


def clock() -> tuple[float, float]:
    """Seconds of the wall, and those that this thread worked."""
    return time.monotonic(), time.thread_time()


class Admission:
    """Says of each request whether it is taken. Event loop only. `longest`: seconds that a burst may wait."""

    def __init__(
        self, metrics: Metrics, longest: float, clock: Callable[[], tuple[float, float]] = clock
    ) -> None:
        self._longest = longest
        self._clock = clock
        self._admitted = metrics.admitted
        self._waiting = metrics.candidates_waiting
        self._over = True  # the turn in which requests were read last
        self._taken = 0.0  # candidates in this turn
        self._requests = 0
        self._offered = 0.0  # candidates in this turn, what was refused too
        self._asked = 0.0  # seconds of work that were asked for of late, older ones counting less
        self._spread = 1.0  # what is left of those of this turn, which came since the last one
        self._room = 0.0  # candidates that may wait
        self._begun, self._used = clock()
        self._last = self._used  # when an answer was finished last
        self._short = self._begun  # when the wait was short last
        # what was learned, old turns counting less: seconds, candidates, requests
        self._spent, self._done, self._served = PRICE * HEAD, float(HEAD), 1.0

    def admits(self, size: int) -> bool:
        """Whether a request with a body of so many bytes is taken; it always is where nothing waits."""
        if self._over:
            self._begin()
        cost = HEAD + size / BYTES
        self._offered += cost
        ahead = self._taken + self._waiting.value
        if ahead and ahead + cost > self._room:
            return False
        self._taken += cost
        self._requests += 1
        self._admitted.inc()
        return True

    def finished(self) -> None:
        """A request has been answered."""
        self._last = self._clock()[1]

    def _begin(self) -> None:
        """A new turn: learn from those since the last one, and say how much may wait."""
        (now, used), waiting = self._clock(), self._waiting.value
        # while candidates wait the thread does not rest, and what others take of its core counts too; else what it
        # does between the last answer and the next request is not for requests
        passed = now - self._begun
        spent = passed if waiting else max(0.0, self._last - self._used)
        self._begun, self._used = now, used
        kept = exp(-spent / LEARNED)
        self._spent = kept * self._spent + spent
        self._done = kept * self._done + self._taken
        self._served = kept * self._served + self._requests
        price = self._spent / self._done
        rule = max(SHARE * self._longest, JOBS * self._spent / self._served)
        burst = max(self._longest, 2.0 * rule)
        lately = passed / burst
        self._asked = exp(-lately) * min(self._asked + self._spread * price * self._offered, MOST * burst)
        self._spread = -expm1(-lately) / lately if lately else 1.0
        if spent + price * waiting < 0.5 * rule:
            self._short = now
        overload = self._asked > MUCH * burst or now - self._short > LONG * burst
        self._room = (rule if overload else burst) / price
        self._taken, self._offered, self._requests, self._over = 0.0, 0.0, 0, False
        asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        """All is read; now it runs."""
        self._over = True
