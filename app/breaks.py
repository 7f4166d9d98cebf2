"""Long work on the event loop, with breaks: others have their turn every millisecond or two."""

import asyncio
import time

SECONDS = 0.001  # of work between two breaks


class Breaks:
    """Those of one piece of work, which asks after each of its steps."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since = time.perf_counter()

    async def rest(self) -> None:
        """Let others have their turn, if it is time."""
        if time.perf_counter() - self._since > SECONDS:
            await asyncio.sleep(0)
            self._since = time.perf_counter()
