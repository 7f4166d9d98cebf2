"""Processes of the benchmark: pinned to cores, paused while others are measured, and gone at the end.

A server may be many processes, some of them in sessions of their own; all carry a mark in their environment, by
which they are found, counted, paused and killed.
"""

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

MARK = "SPEED_MARK"
DRILL_MARK = "DRILL_MARK"  # of all that one drill has started
GONE = (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess)
POLITE = 8.0  # seconds to end by oneself
KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TERM", "LD_LIBRARY_PATH", DRILL_MARK)


@dataclass(frozen=True)
class Memory:
    """MiB over all processes: resident, and shared pages by the number of those who share them."""

    resident: float
    proportional: float
    unique: float


class Process:
    """One server with all its processes."""

    def __init__(
        self, name: str, popen: subprocess.Popen[bytes], *, mark: str, log: Path, cores: Sequence[int]
    ) -> None:
        self.name, self.popen, self.log = name, popen, log
        self._mark, self._cores = mark, set(cores)

    @property
    def alive(self) -> bool:
        """Whether the process that was started is still there."""
        return self.popen.poll() is None

    def tree(self) -> list[psutil.Process]:
        """All its processes."""
        return marked(MARK, self._mark)

    def pinned(self) -> bool:
        """Whether every thread still is where it was put: a library may have moved it."""
        with suppress(*GONE, ProcessLookupError):
            threads = [thread.id for process in self.tree() for thread in process.threads()]
            return all(os.sched_getaffinity(thread) <= self._cores for thread in threads)
        return True

    def pause(self) -> None:
        """Take no processor until `resume`."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on."""
        self._send(signal.SIGCONT)

    def memory(self) -> Memory:
        """What it holds now."""
        told = [process.memory_full_info() for process in self.tree()]
        resident, proportional, unique = (
            sum(getattr(each, name) for each in told) / 2**20 for name in ("rss", "pss", "uss")
        )
        return Memory(resident, proportional, unique)

    def seconds(self) -> float:
        """Processor time so far."""
        spent = 0.0
        for process in self.tree():
            with suppress(*GONE):
                times = process.cpu_times()
                spent += times.user + times.system
        return spent

    def told(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-2_000:]

    def stop(self) -> None:
        """End it: asked first, then killed with all that is left."""
        self.resume()
        self.popen.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.popen.wait(POLITE)
        for process in self.tree():
            with suppress(*GONE):
                process.kill()
        self.popen.wait()

    def _send(self, number: signal.Signals) -> None:
        for process in self.tree():
            with suppress(*GONE):
                process.send_signal(number)


@contextmanager
def running(
    name: str, command: Sequence[str], *, env: Mapping[str, object], cores: Sequence[int], folder: Path
) -> Iterator[Process]:
    """A process with nothing of our environment but what it needs, and `env`; its log is <folder>/<name>.log."""
    mark, log = uuid.uuid4().hex, folder / f"{name}.log"
    kept = {key: os.environ[key] for key in KEPT if key in os.environ}
    with log.open("wb") as file:
        popen = subprocess.Popen(
            on(cores, command), env={**kept, **{key: str(value) for key, value in env.items()}, MARK: mark},
            stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True,
        )  # fmt: skip
    process = Process(name, popen, mark=mark, log=log, cores=cores)
    try:
        yield process
    finally:
        process.stop()


def wait(process: Process, ready: Callable[[], bool], seconds: float) -> None:
    """Until it is ready; ends the benchmark with the log's end if that does not come."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline or not process.alive:
            raise SystemExit(f"{process.name} did not get ready: {process.told()}")
        time.sleep(0.02)


def on(cores: Sequence[int], command: Sequence[str]) -> list[str]:
    """The command, on these cores only."""
    return ["taskset", "-c", ",".join(map(str, cores)), *command]


def marked(name: str, mark: str) -> list[psutil.Process]:
    """All processes that carry a mark by this name."""

    def carried(process: psutil.Process) -> str | None:
        try:
            return process.environ().get(name)
        except GONE:
            return None

    return [process for process in psutil.process_iter() if carried(process) == mark]
