import asyncio
import threading
import time
from contextlib import contextmanager

import pytest

from app import pulse
from app.pulse import Pulse, Threads
from tests.app.test_intake import served
from tests.live import eventually, eventually_async, service_of


def test_nothing_under_way_lasts():
    beat = Pulse()
    with beat:
        assert beat.longest >= 0.0
    assert beat.longest == 0.0


def test_the_longest_run_of_a_pool_counts_until_it_ends():
    pool, end = Threads(2, "runs"), threading.Event()
    try:
        run = pool.submit(end.wait)
        eventually(lambda: pool.pulse.longest > 0.05)
        assert pool.submit(lambda: 7).result() == 7
        assert pool.pulse.longest > 0.05
        end.set()
        assert run.result()
        assert pool.pulse.longest == 0.0
    finally:
        end.set()
        pool.shutdown()


def test_a_run_that_fails_has_ended():
    pool = Threads(1, "runs")
    with pytest.raises(ZeroDivisionError):
        pool.submit(lambda: 1 / 0).result()
    assert pool.pulse.longest == 0.0
    pool.shutdown()


@contextmanager
def hung(client, seconds):
    """A run of the served model that has lasted so long, and does not end."""
    begun = service_of(client).model.pools.texts.pulse._begun
    begun[-1] = time.monotonic() - seconds
    try:
        yield
    finally:
        del begun[-1]


def test_a_hanging_run_takes_readiness_first_and_liveness_when_it_does_not_end(client):
    with hung(client, pulse.STUCK_SECONDS + 1):
        ready = client.get("/health/ready")
        assert (ready.status_code, client.get("/health/live").status_code) == (503, 200)
        assert ready.json()["reasons"] == ["an inference has lasted 6 s: its thread hangs"]
    with hung(client, pulse.DEAD_SECONDS + 1):
        live = client.get("/health/live")
        assert (live.status_code, live.json()) == (503, {"status": "stuck"})
    assert client.get("/health/ready").status_code == client.get("/health/live").status_code == 200


def test_metrics_and_other_workers_see_that_an_inference_hangs(settings):
    async def run():
        async with served(settings) as (service, _):

            async def ready(told):
                return service.metrics.ready.value == told

            begun = service.model.pools.heads.pulse._begun
            await eventually_async(lambda: ready(1))
            begun[-1] = time.monotonic() - pulse.STUCK_SECONDS - 1
            await eventually_async(lambda: ready(0))
            del begun[-1]
            await eventually_async(lambda: ready(1))

    asyncio.run(run())
