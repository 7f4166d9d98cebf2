import pytest

from app.warmup import NOBODY, WARMUP
from tests.live import metric, running


def test_recorded_requests_run_before_ready(republished):
    lines = [{"user_id": "warm", "query": f"warm {n}"} for n in range(3)]
    with running(republished(WARMUP, lines)) as client:
        assert metric(client, 'chorus_encodes_total{encoder="text"}') >= 3


def test_a_recorded_request_that_is_none_is_refused(republished):
    with running(republished(WARMUP, [{"kk": 1}])) as client:
        assert "warmup.jsonl line 1: kk: is no field here" in client.get("/health/ready").json()["reasons"][0]


@pytest.mark.parametrize("lines", [[], [{"history": [], "candidates": ["i0001"]}]])
def test_requests_of_all_sizes_run_before_ready_and_leave_no_user_behind(republished, redis_server, lines):
    with running(republished(WARMUP, lines)) as client:
        up_to_twenty = metric(client, 'chorus_candidates_bucket{le="20.0"}')
        assert metric(client, "chorus_candidates_count") > up_to_twenty
        assert metric(client, "chorus_requests_total") == 0
    with redis_server.client() as redis:
        assert list(redis.scan_iter(f"*{NOBODY}*")) == []
