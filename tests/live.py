"""Real things for tests: a Redis that can be killed, an app that is ready."""

import asyncio
import os
import subprocess
import sys
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
    """A redis-server on a unix socket of its own, and wherever else its options say."""

    def __init__(self, folder: Path, *options: str) -> None:
        self._socket = folder / "redis.sock"
        self._options = options
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
            *self._options,
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
def real_redis(*options: str) -> Iterator[RealRedis]:
    with tempfile.TemporaryDirectory(
        prefix="redis-"
    ) as folder:  # short: a socket's path is at most 107 bytes
        server = RealRedis(Path(folder), *options)
        server.start()
        try:
            yield server
        finally:
            server.kill()


class Relay:
    """A wire tap before a Redis: it passes replies on in pieces of a size, and can hang up after so many bytes."""

    def __init__(self, socket: str, *, piece: int = 65_536, cut: int | None = None) -> None:
        self._socket = socket
        self._piece = piece
        self.cut = cut
        self.url = ""

    async def __aenter__(self) -> "Relay":
        self._server = await asyncio.start_server(self._pass, "127.0.0.1")
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        self._talks: set[asyncio.Task[None]] = set()
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for talk in self._talks:
            talk.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._talks.add(asyncio.current_task())
        answers, asks = await asyncio.open_unix_connection(self._socket)
        there = asyncio.create_task(self._copy(reader, asks))
        try:
            await self._copy(answers, writer, limited=True)
        finally:
            there.cancel()
            asks.close()
            writer.close()

    async def _copy(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, limited: bool = False
    ) -> None:
        while data := await source.read(self._piece):
            if limited and self.cut is not None:
                data, self.cut = data[: self.cut], max(0, self.cut - len(data))
            target.write(data)
            await target.drain()
            if limited and self.cut == 0:
                break


@asynccontextmanager
async def parrot(*said: bytes) -> AsyncIterator[str]:
    """The URL of a server that says the one, then the other, the last ever after, whatever it is told."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        words = list(said)
        while await reader.read(65_536):
            writer.write(words.pop(0) if words[1:] else words[0])
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(talk, "127.0.0.1") as server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.sleep(0.05)  # it sees that its callers have hung up


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


@contextmanager
def process(shelf, redis_server, *options, **variables):
    """A served bundle on a free port: the process, its address and the lines that it printed.

    redis_server: None for an embedded one.
    """
    named = {"CHORUS_REDIS_URL": redis_server.url} if redis_server else {}
    environ = {**os.environ, "CHORUS_STORE": str(shelf), **named, **variables}
    command = [sys.executable, "-m", "app", "serve", "--port", "0", *options]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ
    )
    try:
        lines = [running.stdout.readline().rstrip() for _ in range(5)]
        yield running, lines[0].split()[-1].removesuffix("/recommend"), lines
    finally:
        running.kill()
        running.communicate()


def refused(*options, **variables) -> tuple[int, list[str]]:
    """The exit code of a start that must fail, and its lines that say why."""
    result = subprocess.run(
        [sys.executable, "-m", "app", "serve", "--port", "0", *options],
        env={**os.environ, **variables}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    lines = [
        line for line in result.stderr.splitlines() if " ERROR " in line or line.startswith("chorus-serve: ")
    ]
    assert result.stdout == ""
    assert "Traceback" not in result.stderr, result.stderr
    return result.returncode, lines


def service_of(client: TestClient) -> Service:
    return client.app.state.service


def metric(client: TestClient, line: str) -> float:
    """The value of one line of /metrics, 0 if it is not there."""
    return value(client.get("/metrics").text, line)


def shown(client: httpx.Client, address: str, line: str) -> float:
    """The same of a service that is a process of its own."""
    return value(client.get(f"{address}/metrics").text, line)


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
