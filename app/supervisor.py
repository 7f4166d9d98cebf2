"""Several workers on one port: started together, replaced when they die or hang, ended together.

The supervisor holds what must outlive a worker: the listening socket, the tallies of the metrics, the
embedded Redis. It answers nothing itself.
"""

import asyncio
import json
import logging
import signal
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from app import redis_server
from app.accord import Accord
from app.council import Report
from app.listener import address, listen
from app.metrics import Metrics
from app.pulse import DEAD_SECONDS
from app.renewal import Renewal
from app.settings import Settings
from app.tally import Tally
from app.worker import REFUSED, Orders

log = logging.getLogger(__name__)

# Where our code lies is told, not searched: the folder that this was started in may hold another `app`.
PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.stdin.readline()); from app.worker import main; main()"
)
FIRST_PAUSE, LAST_PAUSE = 0.5, 30.0  # seconds before a dead worker is replaced: doubled while they die young
YOUNG_SECONDS = 60.0
STUCK_SECONDS = 10.0  # beyond drain and grace
LOOK_SECONDS = 1.0


class Supervisor:
    """Runs `settings.workers` processes; `announce` is told the address and a report once all are ready."""

    def __init__(self, settings: Settings, announce: Callable[[str, Report], None]) -> None:
        self._settings = settings
        self._announce = announce
        self._tallies = [Tally.shared() for _ in range(settings.workers + 1)]
        *self._of_workers, self._metrics = [Metrics(handle) for handle in self._tallies]
        self._processes: dict[int, Process] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._announced = False
        self._leaving = asyncio.Event()
        self._refused = ""

    async def run(self) -> int:
        """Serve until a signal comes or the model is refused; the exit code. Raises ChorusError."""
        settings, self._accord = self._settings, Accord(self._settings)
        self._listening = listen(settings)
        self._address = address(self._listening)
        redis = None if settings.redis_url else await redis_server.start(settings.redis_dir, self._metrics)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._leave)
        loop.add_signal_handler(signal.SIGHUP, Renewal(self._accord.take).ask)
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

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

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
            if process is None:
                return
            self._do(self._watch(process, number))
            await self._hear(process)
            self._accord.leave(process)
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

    async def _start(self, number: int, redis: str | None) -> Process | None:
        async with self._accord.turn:
            if self._leaving.is_set():  # while it waited
                return None
            orders = Orders(
                settings=self._accord.settings,
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
            self._accord.join(process)
        if self._leaving.is_set():  # meanwhile
            process.terminate()
        return process

    async def _hear(self, process: Process) -> None:
        """Hear a worker to its end."""
        while line := await process.stdout.readline() if process.stdout else b"":
            report = Report.model_validate_json(line)
            if report.about == "start":
                self._started(report)
            elif report.wish is not None:
                self._do(self._accord.grant(process, report.number, report.wish))
            else:
                self._accord.hear(process, report)

    async def _watch(self, process: Process, number: int) -> None:
        """End a worker that hangs. Nobody else finds it: it takes no connections, so that probes meet the others.

        It is told by looks at which it had not moved since the one before: had we been stopped too, there were none.
        """
        seen, still = 0.0, 0
        while process.returncode is None and not self._leaving.is_set():
            moved = self._of_workers[number].moved.value  # 0: it is not that far yet
            seen, still = moved, still + 1 if moved == seen > 0.0 else 0
            if still * LOOK_SECONDS >= DEAD_SECONDS:
                log.error("worker %d has not moved for %g s; it is ended", number, still * LOOK_SECONDS)
                process.kill()
                return
            await asyncio.sleep(LOOK_SECONDS)

    def _started(self, report: Report) -> None:
        if report.refused and self._announced:
            log.error("the model was refused to a worker: %s", report.refused)
        elif report.refused:
            self._refused = report.refused
            self._leave()
        elif not self._announced and all(metrics.ready.value for metrics in self._of_workers):
            self._announced = True
            self._announce(self._address, report)
