"""The real process: its lines, its end, its exit codes."""

import asyncio
import shutil
import signal
import socket
from urllib.parse import urlsplit

import httpx
import pytest

from tests.live import eventually, process, refused, shown
from tests.shelves import publish


def test_it_says_in_five_lines_where_everything_is_and_ends_with_zero(shelf, redis_server):
    with process(shelf, redis_server) as (running, address, lines):
        assert [line.split()[0] for line in lines] == ["API", "Docs", "Metrics", "Redis", "Model"]
        answer = httpx.post(f"{address}/recommend", json={"user_id": "u1", "k": 2})
        assert len(answer.json()["items"]) == 2
        assert httpx.get(f"{address}/docs").status_code == 200
        running.send_signal(signal.SIGTERM)
        out, _ = running.communicate(timeout=20)
        assert running.returncode == 0
        assert out == ""


def test_a_hundred_who_ask_the_same_at_once_cost_one_run_of_each_encoder(shelf, redis_server):
    with (
        process(shelf, redis_server, CHORUS_MAX_WAIT_MS="10000") as (_, address, _),
        httpx.Client() as plain,
    ):
        item = plain.post(f"{address}/recommend", json={"query": "mug", "k": 1}).json()["items"][0]["item_id"]
        event = plain.get(f"{address}/info").json()["events"][0]
        history = [{"item_id": item, "event": event, "timestamp": "2025-09-01T08:00:00Z"}]
        moment = {"timestamp": "2025-09-02T08:00:00Z"}
        body = {"query": "a text that only these ask for", "history": history, "k": 3, "context": moment}

        async def ask():
            limits = httpx.Limits(max_connections=100)
            async with httpx.AsyncClient(limits=limits, timeout=30) as client:
                asked = (client.post(f"{address}/recommend", json=body) for _ in range(100))
                return await asyncio.gather(*asked)

        lines = [f'chorus_encodes_total{{encoder="{name}"}}' for name in ("text", "user")]
        before = [shown(plain, address, line) for line in lines]
        answers = asyncio.run(ask())
        assert {answer.status_code for answer in answers} == {200}
        assert len({str(answer.json()["items"]) for answer in answers}) == 1
        assert [shown(plain, address, line) - n for line, n in zip(lines, before, strict=True)] == [1, 1]


def test_head_and_body_of_an_answer_come_in_one_packet(shelf, redis_server):
    with process(shelf, redis_server) as (_, address, _):
        where = urlsplit(address)
        with socket.create_connection((where.hostname, where.port)) as connection:
            for more in (b"", b"Connection: close\r\n"):
                connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: here\r\n" + more + b"\r\n")
                head, _, body = connection.recv(65_536).partition(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200")
                assert body.startswith(b"{")
            assert connection.recv(1) == b""


def test_readiness_drops_first_and_requests_are_answered_while_it_drains(shelf, redis_server):
    with (
        process(shelf, redis_server, CHORUS_DRAIN_SECONDS="600") as (running, address, _),
        httpx.Client() as client,
    ):
        running.send_signal(signal.SIGTERM)
        eventually(lambda: client.get(f"{address}/health/ready").status_code == 503)
        answer = client.post(f"{address}/recommend", json={"user_id": "u1", "k": 2})
        assert (answer.status_code, answer.headers["connection"]) == (200, "close")
        assert client.get(f"{address}/health/live").status_code == 200
        running.send_signal(signal.SIGTERM)  # told twice: no more waiting
        running.communicate(timeout=20)
        assert running.returncode == 0


def test_a_hang_up_serves_the_newest_version(bundle, tmp_path, redis_server):
    publish(bundle, tmp_path)
    with process(tmp_path, redis_server) as (running, address, _), httpx.Client() as client:
        publish(bundle, tmp_path)
        running.send_signal(signal.SIGHUP)
        eventually(lambda: client.get(f"{address}/info").json()["model"]["version"] == 2)


def test_a_damaged_bundle_ends_the_start_with_one_clear_line(bundle, tmp_path, redis_server):
    shutil.copytree(bundle, tmp_path / "shop" / "1")
    with (tmp_path / "shop" / "1" / "tokenizer.json").open("a") as file:
        file.write(" ")
    code, [line] = refused(CHORUS_STORE=str(tmp_path), CHORUS_REDIS_URL=redis_server.url)
    assert code == 2
    assert "tokenizer.json has" in line


def test_a_bundle_that_is_not_pinned_ends_the_start_with_its_hash(bundle, redis_server):
    environ = {"CHORUS_STORE": str(bundle.parents[1]), "CHORUS_REDIS_URL": redis_server.url}
    code, [line] = refused(CHORUS_BUNDLE_SHA256="0" * 64, **environ)
    assert code == 2
    assert "which is not pinned" in line


def test_an_empty_shelf_says_what_to_do(tmp_path, redis_server):
    code, [line] = refused("--store", str(tmp_path), CHORUS_REDIS_URL=redis_server.url)
    assert code == 2
    assert "publish one with `chorus-train run`" in line


def test_a_port_that_is_taken_ends_the_start_with_one_clear_line(shelf, redis_server):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        code, lines = refused("--port", port, CHORUS_STORE=str(shelf), CHORUS_REDIS_URL=redis_server.url)
    assert code == 2
    assert f"cannot listen on 127.0.0.1:{port}" in lines[-1]


def test_cuda_that_is_absent_ends_the_start(shelf, redis_server):
    onnxruntime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has CUDA")
    code, [line] = refused(CHORUS_STORE=str(shelf), CHORUS_DEVICE="cuda", CHORUS_REDIS_URL=redis_server.url)
    assert code == 2
    assert "sees no CUDA" in line


def test_an_unknown_setting_ends_the_start(shelf):
    code, [line] = refused(CHORUS_STORE=str(shelf), CHORUS_PROT="80")
    assert code == 2
    assert "did you mean CHORUS_PORT" in line
