"""Long work on the event loop, with breaks: others have their turn every millisecond or two.

turn of the loop   │ a a a │ requests │ b b b │ requests │ a a a │ ...     a millisecond of one, then one of another

However many pieces of long work there are, between two turns only one of them goes on: a timer, or a request that is
read, waits for a millisecond of one and not for one of each.
"""

import asyncio
import gc
import time
from collections import deque
from weakref import WeakKeyDictionary

SECONDS = 0.001  # of work between two breaks
OLDER = 500  # looks for garbage among what is new, before one among what stayed

Line = deque[asyncio.Future[None]]  # of those that rest, the longest first

_lines: WeakKeyDictionary[asyncio.AbstractEventLoop, Line] = WeakKeyDictionary()


class Breaks:
    """Those of one piece of work, which asks after each of its steps."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since = time.perf_counter()

    async def rest(self) -> None:
        """Let others have their turn, if it is time."""
        if time.perf_counter() - self._since > SECONDS:
            # while little is new: later it would go through lists of thousands, for tens of milliseconds
            gc.collect(int(gc.get_count()[1] > OLDER))
            await turn()
            self._since = time.perf_counter()


def turn() -> asyncio.Future[None]:
    """Done when all who rest already have gone on, one between two turns of the loop."""
    loop = asyncio.get_running_loop()
    line = _lines.setdefault(loop, deque())
    if not line:
        loop.call_soon(_call, loop, line)
    line.append(loop.create_future())
    return line[-1]


def _call(loop: asyncio.AbstractEventLoop, line: Line) -> None:
    turn = line.popleft()
    while turn.done() and line:  # nobody waits for it any more
        turn = line.popleft()
    if not turn.done():
        turn.set_result(None)
    if line:
        loop.call_soon(_call, loop, line)
