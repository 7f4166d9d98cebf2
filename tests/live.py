"""Real things for tests: a Redis that can be killed, an app that is ready."""

import asyncio
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import redis
from starlette.testclient import TestClient

from app.main import create_app
from app.redis_server import binary
from app.service import Service
from app.settings import Settings


class RealRedis:
    """A redis-server on a unix socket of its own."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "redis.sock"
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"unix://{self._socket}"

    def start(self) -> None:
        command = [
            str(binary()),
            "--port",
            "0",
            "--unixsocket",
            str(self._socket),
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=self._socket.parent)
        with self.client() as client:
            eventually(lambda: _answers(client))

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def client(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self._socket))


@contextmanager
def real_redis() -> Iterator[RealRedis]:
    with tempfile.TemporaryDirectory(
        prefix="redis-"
    ) as folder:  # short: a socket's path is at most 107 bytes
        server = RealRedis(Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.kill()


@contextmanager
def running(settings: Settings) -> Iterator[TestClient]:
    """A client of an app that has loaded its model, or has refused it."""
    app = create_app(settings)
    with TestClient(app, raise_server_exceptions=False) as client:
        client.portal.call(app.state.service.loaded)
        yield client


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[tuple[httpx.AsyncClient, Service]]:
    """The same for many requests at once."""
    app = create_app(settings)
    service: Service = app.state.service
    async with app.router.lifespan_context(app):
        await service.loaded()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            yield client, service


def service_of(client: TestClient) -> Service:
    return client.app.state.service


def metric(client: TestClient, line: str) -> float:
    """The value of one line of /metrics, 0 if it is not there."""
    return value(client.get("/metrics").text, line)


def value(text: str, line: str) -> float:
    found = [each for each in text.splitlines() if each.startswith(line + " ")]
    return float(found[0].rpartition(" ")[2]) if found else 0.0


def eventually(check, seconds: float = 15.0):
    """Wait until a check is true; the limit is for a test that fails."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if check():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come true")


async def eventually_async(check, seconds: float = 15.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if await check():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come true")


def _answers(client: redis.Redis) -> bool:
    try:
        return client.ping()
    except redis.RedisError:
        return False
