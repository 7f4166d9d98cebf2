"""Several workers, as real processes."""

import asyncio
import os
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from app import supervisor
from app.settings import Settings
from app.supervisor import Supervisor
from tests.live import eventually, eventually_async, process, refused, shown, value
from tests.workers import children, workers

BODY = {"user_id": "u1", "k": 2}


@pytest.fixture(scope="module")
def served(shelf, redis_server):
    """Two workers, for tests that kill none."""
    with process(shelf, redis_server, "--workers", "2") as (running, address, lines):
        yield running.pid, address, lines


def test_two_workers_answer_on_one_address_and_say_so_once(served):
    pid, address, lines = served
    assert [line.split()[0] for line in lines] == ["API", "Docs", "Metrics", "Redis", "Model"]
    assert len(workers(pid)) == 2
    assert len(httpx.post(f"{address}/recommend", json=BODY).json()["items"]) == 2


def test_whichever_worker_is_asked_the_counters_are_what_the_clients_saw(served):
    _, address, _ = served
    line = 'chorus_requests_total{code="200",endpoint="/recommend"}'

    async def ask() -> list[int]:
        limits = httpx.Limits(max_connections=16)
        async with httpx.AsyncClient(limits=limits, timeout=30) as client:
            answers = await asyncio.gather(
                *(client.post(f"{address}/recommend", json=BODY) for _ in range(100))
            )
        return [answer.status_code for answer in answers]

    with httpx.Client() as client:
        before = shown(client, address, line)
        assert asyncio.run(ask()) == [200] * 100
    seen = set()
    for _ in range(6):  # a connection each: now one worker answers, now the other
        with httpx.Client() as client:
            seen.add(shown(client, address, line) - before)
    assert seen == {100.0}


def test_each_worker_has_its_share_of_the_connections(served):
    pid, address, _ = served

    def held(worker: int) -> int:
        found = 0
        for name in os.listdir(f"/proc/{worker}/fd"):
            with suppress(FileNotFoundError):  # closed since
                found += os.readlink(f"/proc/{worker}/fd/{name}").startswith("socket:")
        return found

    before, last = {worker: held(worker) for worker in workers(pid)}, None
    while before != last:  # earlier callers' connections are still being closed
        time.sleep(0.3)
        before, last = {worker: held(worker) for worker in before}, before
    clients = [httpx.Client() for _ in range(10)]
    try:
        for client in clients:
            assert client.get(f"{address}/health/live").status_code == 200
        shares = [held(worker) - before[worker] for worker in before]
        assert sum(shares) >= 10
        assert max(shares) - min(shares) <= 3
    finally:
        for client in clients:
            client.close()


def test_a_worker_that_is_killed_is_replaced_and_fails_no_request_but_its_own(shelf, redis_server):
    with process(shelf, redis_server, "--workers", "2") as (running, address, _):
        before = workers(running.pid)
        assert httpx.post(f"{address}/recommend", json=BODY).status_code == 200
        os.kill(min(before), signal.SIGKILL)
        statuses, text = set(), ""
        # A worker that is missed is not ready; until then the dead one's word stands.
        for awaited in ("chorus_worker_restarts_total", "chorus_ready"):
            text = ""
            while value(text, awaited) == 0:
                statuses.add(httpx.post(f"{address}/recommend", json=BODY).status_code)
                text = httpx.get(f"{address}/metrics").text
        assert statuses == {200}
        assert value(text, "chorus_worker_restarts_total") == 1
        assert value(text, 'chorus_model_load_total{result="ready"}') == 3
        assert value(text, "chorus_requests_in_progress") == 1
        assert len(workers(running.pid) & before) == 1


def test_a_worker_that_hangs_is_ended_and_replaced(shelf, redis_server, monkeypatch, caplog):
    monkeypatch.setattr(supervisor, "DEAD_SECONDS", 2.0)

    async def run():
        ready = asyncio.Event()
        settings = Settings(store=shelf, redis_url=redis_server.url, port=0, workers=2)
        serving = asyncio.create_task(Supervisor(settings, lambda *_: ready.set()).run())
        await ready.wait()
        before = workers(os.getpid())
        os.kill(min(before), signal.SIGSTOP)

        async def replaced() -> bool:
            return len(workers(os.getpid()) - {min(before)}) == 2

        await eventually_async(replaced)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await serving == 0
        return before

    assert len(asyncio.run(run())) == 2
    assert sum("has not moved for 2 s; it is ended" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_of_them_with_zero(shelf, number):
    with process(shelf, None, "--workers", "2") as (running, _, lines):
        assert lines[3].startswith("Redis    embedded")
        started = children(running.pid)
        assert len(started) == 3  # and one Redis for both
        running.send_signal(number)
        out, err = running.communicate(timeout=20)
        assert (running.returncode, out) == (0, "")
        assert "Traceback" not in err
        assert not any(Path(f"/proc/{pid}").exists() for pid in started)


def test_all_drain_before_they_end_and_a_second_signal_hurries_them(shelf, redis_server):
    options = {"CHORUS_WORKERS": "2", "CHORUS_DRAIN_SECONDS": "600"}
    with process(shelf, redis_server, **options) as (running, address, _):
        running.send_signal(signal.SIGTERM)
        for _ in range(4):
            eventually(lambda: httpx.get(f"{address}/health/ready").status_code == 503)
            assert httpx.post(f"{address}/recommend", json=BODY).status_code == 200
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=20)
        assert running.returncode == 0


def test_workers_whose_supervisor_is_killed_leave_too(shelf, redis_server):
    with process(shelf, redis_server, "--workers", "2") as (running, _, _):
        left = workers(running.pid)
        running.kill()
        running.wait()
        eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left))


def test_a_damaged_bundle_ends_all_with_one_clear_line(bundle, tmp_path, redis_server):
    shutil.copytree(bundle, tmp_path / "shop" / "1")
    with (tmp_path / "shop" / "1" / "tokenizer.json").open("a") as file:
        file.write(" ")
    code, [line] = refused("--workers", "2", CHORUS_STORE=str(tmp_path), CHORUS_REDIS_URL=redis_server.url)
    assert code == 2
    assert "tokenizer.json has" in line


def test_an_empty_shelf_or_a_port_that_is_taken_is_said_before_any_worker_starts(
    tmp_path, shelf, redis_server
):
    code, [line] = refused("--workers", "2", CHORUS_STORE=str(tmp_path))
    assert (code, "publish one with `chorus-train run`" in line) == (2, True)
    with process(shelf, redis_server) as (_, address, _):
        port = address.rpartition(":")[2]
        code, [line] = refused("--workers", "2", "--port", port, CHORUS_STORE=str(shelf))
    assert code == 2
    assert f"cannot listen on 127.0.0.1:{port}" in line
