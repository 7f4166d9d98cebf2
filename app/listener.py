"""One listening socket for several workers, connections spread evenly over them.

The kernel wakes every worker for a connection, and the quickest would take most of a burst: of 16 that
came together one of two workers got 12 or more every other time. So a worker that has more than another
looks away for a moment, and then takes what nobody else has taken; one that is not ready leaves all to
those that are. The socket outlives every worker: a connection that waits while one dies is another's.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import inf

from app.metrics import Metrics
from app.series import level

LOOK_AWAY_SECONDS = 0.002


class Peers:
    """The other workers, by the handles of their tallies."""

    def __init__(self, handles: Sequence[int]) -> None:
        self._levels = [(level(each, "ready"), level(each, "connections")) for each in handles]

    def fewest(self) -> float:
        """Connections of the ready one that has the fewest; infinite if none is ready."""
        return min((mine.value for ready, mine in self._levels if ready.value), default=inf)


class Listener:
    """Takes connections for one worker, and counts them in its metrics."""

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        metrics: Metrics,
        peers: Peers,
    ) -> None:
        listening.setblocking(False)
        self._socket = listening
        self._protocol = protocol
        self._ready, self._mine = metrics.ready, metrics.connections
        self._peers = peers
        self._loop = asyncio.get_running_loop()
        self._later: asyncio.TimerHandle | None = None
        self._opening: set[asyncio.Task[None]] = set()
        self._loop.add_reader(listening, self._look)

    def close(self) -> None:
        """Take no more; the socket itself stays open."""
        self._loop.remove_reader(self._socket)
        if self._later:
            self._later.cancel()

    def _look(self) -> None:
        fewest = self._peers.fewest()
        if fewest == inf or (self._ready.value and self._mine.value <= fewest):
            self._take()
        else:
            self._loop.remove_reader(self._socket)
            self._later = self._loop.call_later(LOOK_AWAY_SECONDS, self._look_again)

    def _look_again(self) -> None:
        if self._ready.value:
            self._take()
        self._loop.add_reader(self._socket, self._look)

    def _take(self) -> None:
        with suppress(BlockingIOError, ConnectionAbortedError):  # taken by another, or gone
            connection, _ = self._socket.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._mine.inc()
            opening = self._loop.create_task(self._open(connection))
            self._opening.add(opening)
            opening.add_done_callback(self._opening.discard)

    async def _open(self, connection: socket.socket) -> None:
        await self._loop.connect_accepted_socket(self._protocol, connection)
