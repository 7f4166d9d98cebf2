import asyncio

import pytest

from app import warmup
from app.link import Link
from app.metrics import Metrics
from app.model import build
from app.pace import FEWER, Pace
from app.warmup import NOBODY, WARMUP
from model_store.errors import BundleMismatch
from tests.live import metric, running


def test_recorded_requests_run_before_ready(republished):
    lines = [{"user_id": "warm", "query": f"warm {n}"} for n in range(3)]
    with running(republished(WARMUP, lines)) as client:
        assert metric(client, 'chorus_encodes_total{encoder="text"}') >= 3


def test_beside_requests_a_twentieth_of_them_runs_and_all_are_read(republished):
    lines = [{"query": f"warm {n}", "k": 1} for n in range(60)]
    settings, metrics = republished(WARMUP, [*lines, {"kk": 1}]), Metrics()

    async def warm() -> None:
        link = Link(settings.redis_url, timeout=2.0, metrics=metrics)
        model = await build(settings, link, metrics)
        try:
            with Pace(beside=True) as pace:
                await warmup.run(model, settings, metrics, pace)
        finally:
            model.close()
            await link.close()

    with pytest.raises(BundleMismatch, match=r"warmup\.jsonl line 61: kk"):
        asyncio.run(warm())
    assert metrics.encodes.labels("text").value == 61 // FEWER


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
