"""The listening socket, one for several workers too, connections spread evenly over them.

The kernel wakes every worker for a connection, and the quickest would take most of a burst: of 16 that
came together one of two workers got 12 or more every other time. So a worker that has more than another
looks away for a moment, and then takes what nobody else has taken; one that is not ready leaves all to
those that are. The socket outlives every worker: a connection that waits while one dies is another's.

Where the process has no file left for a connection, whoever has connected waits until there is one again: the system
says so as often as it is asked.

A socket that is closed resets whoever has connected and not been taken, though he may have sent a request. So all of
them are taken at the end; the system refuses those who come after, who have sent nothing.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from math import inf

from app.errors import SettingsError
from app.metrics import Metrics
from app.series import level
from app.settings import Settings

log = logging.getLogger(__name__)

BACKLOG = 2_048
ANY = "::"  # all addresses of the host
LOOK_AWAY_SECONDS = 0.002
REST_SECONDS = 0.25  # until the system is asked again for what it did not give
QUIET_SECONDS = 60.0  # between two lines of log about that


def listen(settings: Settings) -> socket.socket:
    """A socket on the address that is set, on `::` for both kinds; SettingsError if it is taken."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    both = settings.host == ANY and socket.has_dualstack_ipv6()
    try:
        return socket.create_server(
            (settings.host, settings.port), family=family, backlog=BACKLOG, dualstack_ipv6=both
        )
    except OSError as error:
        raise SettingsError(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}") from error


def address(listening: socket.socket) -> str:
    """Where it listens, as a URL."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if listening.family == socket.AF_INET6 else f"http://{host}:{port}"


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
        self._quiet_until = 0.0
        self._opening: set[asyncio.Task[None]] = set()
        self._loop.add_reader(listening, self._look)

    async def close(self) -> None:
        """Take all who have connected, and nobody any more."""
        self._loop.remove_reader(self._socket)
        while self._take():
            pass
        if self._later:
            self._later.cancel()
        self._socket.close()
        await asyncio.gather(*self._opening, return_exceptions=True)

    def _look(self) -> None:
        fewest = self._peers.fewest()
        if fewest == inf or (self._ready.value and self._mine.value <= fewest):
            self._take()
        else:
            self._rest(LOOK_AWAY_SECONDS)

    def _rest(self, seconds: float) -> None:
        self._loop.remove_reader(self._socket)
        self._later = self._loop.call_later(seconds, self._look_again)

    def _look_again(self) -> None:
        self._loop.add_reader(self._socket, self._look)
        if self._ready.value:
            self._take()

    def _take(self) -> bool:
        try:
            connection, _ = self._socket.accept()
        except (BlockingIOError, ConnectionAbortedError):  # taken by another, or gone
            return False
        except OSError as error:
            self._complain(error)
            self._rest(REST_SECONDS)
            return False
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._mine.inc()
        opening = self._loop.create_task(self._open(connection))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)
        return True

    def _complain(self, error: OSError) -> None:
        if self._loop.time() >= self._quiet_until:
            self._quiet_until = self._loop.time() + QUIET_SECONDS
            log.error(
                "connections wait, the system gives none (%s): raise ulimit -n above CHORUS_MAX_CONNECTIONS",
                error.strerror,
            )

    async def _open(self, connection: socket.socket) -> None:
        await self._loop.connect_accepted_socket(self._protocol, connection)
