"""Two workers as two threads, each with its own loop, on one socket."""

import asyncio
import os
import resource
import socket
import threading
import time
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import pytest

from app.listener import REST_SECONDS, Listener, Peers, address, listen
from app.metrics import Metrics
from app.settings import Settings
from app.tally import Tally
from tests.live import eventually, process


class Worker(threading.Thread):
    """Takes connections until it is told to stop; `busy`: seconds that its loop is blocked after each."""

    def __init__(self, listening: socket.socket, handle: int, other: int, busy: float = 0.0) -> None:
        super().__init__()
        self.metrics = Metrics(handle)
        self._listening, self._other, self._busy = listening.dup(), other, busy
        self._told = asyncio.Event()
        self._loop = asyncio.new_event_loop()

    def run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    def sleep(self, seconds: float) -> None:
        self._loop.call_soon_threadsafe(time.sleep, seconds)

    def stop(self) -> None:
        if self.is_alive():
            self._loop.call_soon_threadsafe(self._told.set)
            self.join()

    async def _serve(self) -> None:
        transports, busy = [], self._busy

        class Protocol(asyncio.Protocol):
            def connection_made(self, transport) -> None:
                transports.append(transport)
                time.sleep(busy)

        listener = Listener(self._listening, Protocol, self.metrics, Peers([self._other]))
        self.metrics.ready.set(1)
        await self._told.wait()
        await listener.close()
        for transport in transports:
            transport.abort()
        await asyncio.sleep(0)


@contextmanager
def pair(**options):
    handles = [Tally.shared(), Tally.shared()]
    for handle in handles:
        Metrics(handle)  # as the supervisor does, before either begins
    with socket.create_server(("127.0.0.1", 0), backlog=256) as listening:
        workers = [
            Worker(listening, handles[0], handles[1], **options),
            Worker(listening, handles[1], handles[0]),
        ]
        address = listening.getsockname()
        listening.close()  # theirs are others
        for worker in workers:
            worker.start()
        eventually(lambda: all(worker.metrics.ready.value for worker in workers))
        try:
            yield address, workers
        finally:
            for worker in workers:
                worker.stop()
            for handle in handles:
                os.close(handle)


@pytest.mark.parametrize(("host", "told"), [("127.0.0.1", "http://127.0.0.1:"), ("::1", "http://[::1]:")])
def test_an_address_can_be_opened_as_it_is_told(host, told):
    if host == "::1" and not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with listen(Settings(host=host, port=0)) as listening:
        assert address(listening).startswith(told)


def taken(workers) -> list[float]:
    return [worker.metrics.connections.value for worker in workers]


@pytest.mark.parametrize("count", [2, 16, 100])
def test_connections_that_come_together_are_spread_evenly(count):
    with pair() as (address, workers):
        connections = [socket.create_connection(address) for _ in range(count)]
        eventually(lambda: sum(taken(workers)) == count)
        assert abs(taken(workers)[0] - taken(workers)[1]) <= 2
        for connection in connections:
            connection.close()


def test_a_worker_that_is_busy_keeps_nobody_waiting():
    with pair(busy=0.5) as (address, workers):
        connections = [socket.create_connection(address) for _ in range(20)]
        eventually(lambda: sum(taken(workers)) == 20, seconds=2.0)
        assert taken(workers)[1] > taken(workers)[0]
        for connection in connections:
            connection.close()


def test_the_last_one_takes_all_who_have_connected_and_nobody_comes_after_them():
    with pair() as (address, workers):
        workers[1].stop()
        workers[0].sleep(0.2)
        connections = [socket.create_connection(address) for _ in range(20)]
        workers[0].stop()
        assert taken(workers) == [20, 0]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        for connection in connections:
            connection.close()


def test_a_worker_that_is_not_ready_leaves_all_to_the_other_until_that_is_not_either():
    with pair() as (address, workers):
        workers[0].metrics.ready.set(0)
        first = [socket.create_connection(address) for _ in range(10)]
        eventually(lambda: taken(workers) == [0, 10])
        workers[1].metrics.ready.set(0)
        second = [socket.create_connection(address) for _ in range(40)]
        eventually(lambda: sum(taken(workers)) == 50)
        assert taken(workers)[0] > 0
        for connection in first + second:
            connection.close()


def test_connections_for_which_there_is_no_file_wait_until_there_is_one(shelf, redis_server):
    with process(shelf, redis_server) as (running, address, _):
        few = len(os.listdir(f"/proc/{running.pid}/fd")) + 5
        resource.prlimit(running.pid, resource.RLIMIT_NOFILE, (few, few))
        where = urlsplit(address)
        connections = [socket.create_connection((where.hostname, where.port)) for _ in range(20)]
        time.sleep(2 * REST_SECONDS)
        for connection in connections:
            connection.close()
        assert httpx.get(f"{address}/health/live").status_code == 200
        connections = [socket.create_connection((where.hostname, where.port)) for _ in range(20)]
        running.terminate()
        _, err = running.communicate(timeout=20)
    for connection in connections:
        connection.close()
    assert running.returncode == 0
    assert err.count("Too many open files") == 1
    assert "Traceback" not in err


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_all_addresses_are_those_of_both_kinds():
    with listen(Settings(host="::", port=0)) as listening:
        port = listening.getsockname()[1]
        for host in ("127.0.0.1", "::1"):
            with socket.create_connection((host, port), timeout=5):
                pass
