"""Several workers change versions together, as real processes, or not at all."""

import asyncio
import os
import signal
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from app import accord
from app.council import Order, Report
from app.errors import Refused
from app.labels import Wish
from app.settings import Settings
from model_store.manifest import FusionDefault
from tests.admin import HEADERS, keys
from tests.live import eventually, process, value
from tests.shelves import publish
from tests.workers import workers

get, post = (partial(call, headers=HEADERS, timeout=60) for call in (httpx.get, httpx.post))


def versions(address: str) -> set[int]:
    """Those that are served: each time another worker may be asked."""
    return {get(f"{address}/info").json()["model"]["version"] for _ in range(8)}


@pytest.fixture
def served(bundle, tmp_path, redis_server):
    """Two workers that serve the first of two versions."""
    shelf, options = tmp_path / "shelf", ("--workers", "2", "--version", "1")
    for _ in range(2):
        publish(bundle, shelf)
    with process(shelf, redis_server, *options, CHORUS_API_KEYS_FILE=str(keys(tmp_path))) as told:
        running, address, _ = told
        yield running, address, shelf


def test_all_workers_serve_the_new_version_and_roll_back_together(served):
    running, address, _ = served
    asked = post(f"{address}/admin/versions", json={"version": "newest"})
    assert (asked.status_code, asked.json()["served"]) == (200, 2)
    assert versions(address) == {2}
    assert post(f"{address}/admin/rollback").json()["served"] == 1
    assert versions(address) == {1}
    missing = post(f"{address}/admin/versions", json={"version": 9})
    assert (missing.status_code, missing.json()["error_type"]) == (404, "not_found")
    assert len(workers(running.pid)) == 2


def test_a_worker_that_is_replaced_serves_what_the_others_serve_now(served):
    running, address, _ = served
    post(f"{address}/admin/versions", json={"version": 2}).raise_for_status()
    before = workers(running.pid)
    os.kill(min(before), signal.SIGKILL)
    eventually(lambda: len(workers(running.pid) - before) == 1)
    eventually(lambda: "chorus_ready 1.0" in get(f"{address}/metrics").text)
    assert versions(address) == {2}
    assert post(f"{address}/admin/rollback").json()["served"] == 1
    assert versions(address) == {1}


def canaries(address: str, users: list[str]) -> set[str]:
    """Those whom the canary answers, whichever worker is asked; each is asked over several connections."""
    found = set()
    for user in users:
        body = {"user_id": user, "query": "a mug", "k": 1}
        told = {post(f"{address}/recommend", json=body).json()["model"]["version"] for _ in range(4)}
        assert len(told) == 1, user
        found |= {user} if told == {2} else set()
    return found


def test_all_workers_agree_on_who_is_answered_by_the_canary(served):
    running, address, _ = served
    users = [f"accord:{number}" for number in range(30)]
    body = {"version": 2, "label": "canary", "share": 0.3}
    assert post(f"{address}/admin/versions", json=body).json()["canary"] == {"version": 2, "share": 0.3}
    before = canaries(address, users)
    assert before
    assert before < set(users)
    gone = workers(running.pid)
    os.kill(min(gone), signal.SIGKILL)
    eventually(lambda: len(workers(running.pid) - gone) == 1)
    eventually(lambda: "chorus_ready 1.0" in get(f"{address}/metrics").text)
    assert canaries(address, users) == before
    post(f"{address}/admin/versions", json=body | {"share": 0.5}).raise_for_status()
    assert canaries(address, users) >= before
    assert post(f"{address}/admin/drop", json={"label": "canary"}).json()["canary"] is None
    assert canaries(address, users) == set()


@contextmanager
def alone(worker: int, supervisor: int) -> Iterator[None]:
    """Whoever asks is answered by that worker: the others stand still."""
    others = workers(supervisor) - {worker}
    try:
        for other in others:
            os.kill(other, signal.SIGSTOP)
            eventually(lambda other=other: "State:\tT" in Path(f"/proc/{other}/status").read_text())
        yield
    finally:
        for other in others:
            os.kill(other, signal.SIGCONT)


def counted(address: str) -> dict[str, float]:
    """Requests that any worker's shadow was to be asked too, by what became of them."""
    text, results = get(f"{address}/metrics").text, ("compared", "dropped", "failed")
    return {each: value(text, f'chorus_shadow_requests_total{{result="{each}"}}') for each in results}


def test_all_workers_compare_with_the_shadow_and_it_answers_nobody(served, bundle):
    running, address, shelf = served
    version = publish(bundle, shelf, fusion=FusionDefault(weights={"query_match": 1.0}))
    context = {"timestamp": "2026-11-22T08:00:00Z"}
    body = {"user_id": "accord:shadow", "query": "a mug", "k": 5, "context": context}

    def answer() -> dict[str, object]:
        told = post(f"{address}/recommend", json=body).json()
        return {name: told[name] for name in ("model", "items")}

    def compared(before: float) -> bool:
        assert answer() == stable
        return counted(address)["compared"] > before

    stable, shadow = answer(), {"version": version, "share": 1.0}
    asked = post(f"{address}/admin/versions", json=shadow | {"label": "shadow"})
    assert (asked.json()["served"], asked.json()["shadow"]) == (1, shadow)
    gone = min(workers(running.pid))
    os.kill(gone, signal.SIGKILL)  # the one that follows has a shadow from its start
    eventually(lambda: len(workers(running.pid) - {gone}) == 2)
    eventually(lambda: "chorus_ready 1.0" in get(f"{address}/metrics").text)
    for worker in workers(running.pid):
        with alone(worker, running.pid):
            assert get(f"{address}/admin/versions").json()["shadow"] == shadow
            eventually(partial(compared, counted(address)["compared"]))
    text = get(f"{address}/metrics").text
    assert value(text, 'chorus_shadow_difference_sum{task="score"}') > 0.0
    assert not [line for line in text.splitlines() if "chorus_answers_total" in line and "shadow" in line]
    assert post(f"{address}/admin/drop", json={"label": "shadow"}).json()["shadow"] is None
    before = counted(address)
    for worker in workers(running.pid):
        with alone(worker, running.pid):
            assert get(f"{address}/admin/versions").json()["shadow"] is None
            assert answer() == stable
    assert counted(address) == before


def test_a_version_that_one_worker_does_not_load_is_served_by_none(served):
    running, address, _ = served
    running.send_signal(signal.SIGHUP)
    eventually(lambda: get(f"{address}/admin/versions").json()["loading"] == 2)
    os.kill(min(workers(running.pid)), signal.SIGKILL)

    def told() -> str:
        refusal = get(f"{address}/health").json()["refused"]
        return refusal["error"] if refusal else ""

    eventually(lambda: "a worker ended while it loaded it" in told())
    assert versions(address) == {1}


def test_a_bad_version_is_refused_by_all_and_all_say_why(served, bundle):
    _, address, shelf = served
    version = publish(bundle, shelf, lambda draft: (draft / "heads.onnx").write_bytes(b"no graph"))
    asked = post(f"{address}/admin/versions", json={"version": version})
    assert (asked.status_code, asked.json()["error_type"]) == (409, "refused")
    assert versions(address) == {1}
    told = [get(f"{address}/health").json()["refused"] for _ in range(8)]
    assert all(each["version"] == version and "could not be opened" in each["error"] for each in told)


def test_what_a_worker_says_of_an_order_before_does_not_answer_the_next_one(bundle, tmp_path, monkeypatch):
    """It hung while it prepared a version, was not waited for, and is done when another one is asked for."""
    monkeypatch.setattr(accord, "PATIENCE_SECONDS", 0.5)
    for _ in range(3):
        publish(bundle, tmp_path)

    async def run():
        agreed = accord.Accord(Settings(store=tmp_path, version=1))
        worker = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        agreed.join(worker)

        async def heard() -> Order:
            return Order.model_validate_json(await asyncio.wait_for(worker.stdout.readline(), 10.0))

        with pytest.raises(Refused, match="did not answer"):
            await agreed.take(Wish(version=2))
        hung, abandoned = await heard(), await heard()
        assert (hung.do, abandoned.do) == ("prepare", "abandon")
        taking = asyncio.create_task(agreed.take(Wish(version=3)))
        asked = await heard()
        agreed.hear(worker, Report(about="prepare", number=hung.number))
        with pytest.raises(TimeoutError):  # nobody is told to serve it
            await asyncio.wait_for(worker.stdout.readline(), 0.1)
        agreed.hear(worker, Report(about="prepare", number=asked.number))
        assert (await heard()).do == "commit"
        await taking
        worker.kill()
        await worker.wait()

    asyncio.run(run())
