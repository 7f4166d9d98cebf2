"""One of several workers: a process that serves on a socket which the supervisor holds.

It reads its orders from stdin, lines of JSON, and leaves when stdin ends: nobody looks after it then.
It reports on stdout, the same way, that it is ready or why the model was refused: see council.py.
"""

import asyncio
import os
import signal
import socket
import sys
from threading import Thread

from pydantic import BaseModel

from app import logs
from app.council import Council, Order, Report
from app.listener import Peers
from app.main import create_app
from app.metrics import Metrics
from app.server import Server
from app.service import Service
from app.settings import Settings

REFUSED = 2  # the exit code


class Orders(BaseModel):
    """What a worker is to do.

    listening, tallies: files that it inherits, by their numbers; a tally a worker, then the supervisor's.
    """

    settings: Settings
    number: int
    listening: int
    tallies: tuple[int, ...]
    redis: str | None


class Worker(Server):
    """Serves on a socket that others serve on too."""

    def __init__(self, service: Service, peers: Peers) -> None:
        super().__init__(create_app(service=service), service.settings, self._ready, peers)
        self._council = Council(service.versions, report)
        service.take = self._council.take

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin, and hear the supervisor."""
        await super().startup(sockets)
        Thread(target=self._obey, args=[asyncio.get_running_loop()], daemon=True).start()

    def _obey(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hear the supervisor. When it is gone, leave: the system closes its end of stdin, whatever it died of."""
        for line in sys.stdin:
            loop.call_soon_threadsafe(self._council.hear, Order.model_validate_json(line))
        os.kill(os.getpid(), signal.SIGTERM)

    def _ready(self) -> None:
        report(Report(serves=self._service.model.described, redis=self._service.redis.place))


def report(told: Report) -> None:
    """Tell the supervisor."""
    sys.stdout.write(told.model_dump_json() + "\n")
    sys.stdout.flush()


def main() -> None:
    """Serve as ordered; the exit code says whether the model was refused."""
    orders = Orders.model_validate_json(sys.stdin.readline())
    logs.configure(orders.settings.log_format)
    *workers, _ = orders.tallies
    metrics = Metrics(workers[orders.number], orders.tallies)
    service = Service(orders.settings, metrics, embedded=orders.redis)
    others = [handle for number, handle in enumerate(workers) if number != orders.number]
    Worker(service, Peers(others)).run([socket.socket(fileno=orders.listening)])
    if service.failure:
        report(Report(refused=str(service.failure)))
        sys.exit(REFUSED)
