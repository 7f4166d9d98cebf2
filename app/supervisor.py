"""Several workers on one port: started together, replaced when they die, ended together.

The supervisor holds what must outlive a worker: the listening socket, the tallies of the metrics, the
embedded Redis. It answers nothing itself.
"""

import asyncio
import json
import logging
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress

from app import redis_server
from app.errors import SettingsError
from app.metrics import Metrics
from app.settings import Settings
from app.tally import Tally
from app.worker import REFUSED, Orders, Report
from model_store.shelf import Shelf

log = logging.getLogger(__name__)

# Where our code lies is told, not searched: the folder that this was started in may hold another `app`.
PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.stdin.readline()); from app.worker import main; main()"
)
BACKLOG = 2_048
FIRST_PAUSE, LAST_PAUSE = 0.5, 30.0  # seconds before a dead worker is replaced: doubled while they die young
YOUNG_SECONDS = 60.0
STUCK_SECONDS = 10.0  # beyond drain and grace


class Supervisor:
    """Runs `settings.workers` processes; `announce` is told the address and a report once all are ready."""

    def __init__(self, settings: Settings, announce: Callable[[str, Report], None]) -> None:
        self._settings = settings
        self._announce = announce
        self._tallies = [Tally.shared() for _ in range(settings.workers + 1)]
        *self._of_workers, self._metrics = [Metrics(handle) for handle in self._tallies]
        self._processes: dict[int, Process] = {}
        self._announced = False
        self._leaving = asyncio.Event()
        self._refused = ""

    async def run(self) -> int:
        """Serve until a signal comes or the model is refused; the exit code. Raises ChorusError."""
        settings = self._settings = _pinned(self._settings)
        self._listening = _listen(settings)
        redis = None if settings.redis_url else await redis_server.start(settings.redis_dir, self._metrics)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._leave)
        self._metrics.ready.set(1)  # the least of all processes is shown: it has nothing against it
        url = redis.url if redis else None
        try:
            await asyncio.gather(*(self._keep(number, url) for number in range(settings.workers)))
        finally:
            if redis:
                await redis.stop()
        if self._refused:
            log.error("the model was refused: %s", self._refused)
        return REFUSED if self._refused else 0

    def _leave(self) -> None:
        """Pass a signal on: each worker drains at the first, and hurries at the next."""
        self._metrics.ready.set(0)
        self._listening.close()
        if not self._leaving.is_set():
            patience = self._settings.drain_seconds + self._settings.grace_seconds + STUCK_SECONDS
            asyncio.get_running_loop().call_later(patience, self._send, signal.SIGKILL)
        self._leaving.set()
        self._send(signal.SIGTERM)

    def _send(self, number: signal.Signals) -> None:
        for process in self._processes.values():
            with suppress(ProcessLookupError):
                process.send_signal(number)

    async def _keep(self, number: int, redis: str | None) -> None:
        """Have a worker of that number until it is time to leave."""
        pause = FIRST_PAUSE
        while not self._leaving.is_set():
            begun = time.monotonic()
            process = await self._start(number, redis)
            await self._hear(process)
            code = await process.wait()
            Metrics(self._tallies[number])  # what it counted stays; it is not ready and answers nothing
            if self._leaving.is_set():
                return
            pause = FIRST_PAUSE if time.monotonic() - begun > YOUNG_SECONDS else pause
            log.warning("worker %d ended with code %d; the next one starts in %g s", number, code, pause)
            self._metrics.worker_restarts.inc()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), pause)
            pause = min(2.0 * pause, LAST_PAUSE)

    async def _start(self, number: int, redis: str | None) -> Process:
        orders = Orders(
            settings=self._settings,
            number=number,
            listening=self._listening.fileno(),
            tallies=tuple(self._tallies),
            redis=redis,
        )
        process = self._processes[number] = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, stdin=PIPE, stdout=PIPE,
            pass_fds=(orders.listening, *orders.tallies),
            start_new_session=True,  # Ctrl-C is for the supervisor
        )  # fmt: skip
        if process.stdin:
            process.stdin.write(f"{json.dumps(sys.path)}\n{orders.model_dump_json()}\n".encode())
        if self._leaving.is_set():  # meanwhile
            process.terminate()
        return process

    async def _hear(self, process: Process) -> None:
        """Wait for what a worker says, and for its end if it was refused."""
        line = await process.stdout.readline() if process.stdout else b""
        if not line:
            return
        report = Report.model_validate_json(line)
        if report.refused and self._announced:
            log.error("the model was refused to a worker: %s", report.refused)
        elif report.refused:
            self._refused = report.refused
            self._leave()
        elif not self._announced and all(metrics.ready.value for metrics in self._of_workers):
            self._announced = True
            host, port = self._listening.getsockname()[:2]
            self._announce(f"http://{host}:{port}", report)


def _pinned(settings: Settings) -> Settings:
    """Of one version: a worker that is replaced later must not serve a newer one than the others."""
    folder = Shelf(settings.store).find(settings.model, settings.version)
    return settings.model_copy(update={"model": folder.parent.name, "version": int(folder.name)})


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise SettingsError(f"cannot listen on {settings.host}:{settings.port}: {error.strerror}") from error
