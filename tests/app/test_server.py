"""The real process: its lines, its end, its exit codes."""

import shutil
import signal

import httpx
import pytest

from tests.live import eventually, process, refused


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


def test_a_damaged_bundle_ends_the_start_with_one_clear_line(bundle, tmp_path, redis_server):
    shutil.copytree(bundle, tmp_path / "shop" / "1")
    with (tmp_path / "shop" / "1" / "tokenizer.json").open("a") as file:
        file.write(" ")
    code, [line] = refused(CHORUS_STORE=str(tmp_path), CHORUS_REDIS_URL=redis_server.url)
    assert code == 2
    assert "tokenizer.json has" in line


def test_an_empty_shelf_says_what_to_do(tmp_path, redis_server):
    code, [line] = refused("--store", str(tmp_path), CHORUS_REDIS_URL=redis_server.url)
    assert code == 2
    assert "publish one with `chorus-train publish`" in line


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
