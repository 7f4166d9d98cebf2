"""Signals that come one after another, and while something else is loaded."""

import asyncio
import signal
from functools import partial
from threading import Thread

import httpx
import pytest

from app.errors import Busy, Refused
from app.labels import Wish
from app.renewal import Renewal
from tests.admin import HEADERS, keys
from tests.live import eventually, eventually_async, process
from tests.shelves import publish


@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_while_another_version_is_loaded_is_followed_then(bundle, tmp_path, redis_server, workers):
    shelf = tmp_path / "shelf"
    for _ in range(3):
        publish(bundle, shelf)
    options = ("--version", "1", "--workers", str(workers))
    with process(shelf, redis_server, *options, CHORUS_API_KEYS_FILE=str(keys(tmp_path))) as told:
        running, address, _ = told
        call = partial(httpx.request, url=f"{address}/admin/versions", headers=HEADERS, timeout=60)
        loads = Thread(target=call, args=["POST"], kwargs={"json": {"version": 2}})
        loads.start()
        eventually(lambda: call("GET").json()["loading"] == 2)
        running.send_signal(signal.SIGHUP)
        loads.join()
        eventually(lambda: call("GET").json()["served"] == 3)


def followed(answers, ask_again_at):
    """What a renewal takes one after another, of answers that are None or errors."""
    taken = []

    async def take(wish: Wish) -> None:
        taken.append(wish.version)
        if len(taken) in ask_again_at:
            renewal.ask()
            renewal.ask()
        await asyncio.sleep(0)
        if answer := answers[len(taken) - 1]:
            raise answer

    async def run() -> None:
        renewal.ask()
        await eventually_async(done)
        await asyncio.sleep(0.05)
        await renewal.close()

    async def done() -> bool:
        return len(taken) == len(answers)

    renewal = Renewal(take)
    asyncio.run(run())
    return taken


def test_signals_while_one_is_followed_have_the_shelf_looked_at_once_more():
    assert followed([None, None], ask_again_at={1}) == ["newest"] * 2


def test_what_is_refused_is_not_tried_again_and_what_was_busy_is(caplog):
    assert len(followed([Busy("is being loaded"), Refused("damaged")], ask_again_at={})) == 2
    assert [line.getMessage() for line in caplog.records if line.name == "app.renewal"] == ["SIGHUP: damaged"]
