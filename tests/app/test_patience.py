import asyncio
import gc
import socket
import sys
import time
import weakref
from contextlib import asynccontextmanager

import httpx
import pytest

from app.errors import Expired, Gone, Invalid
from app.metrics import Metrics, Stages
from app.patience import LEAVING, MOST, SOCKET, TICKS, Patience, arrival, deadline
from model_store.bundle import Bundle
from tests.app.test_intake import served
from tests.live import eventually_async, serving

CROWD = [f"a text of the crowd, number {number}" for number in range(10_000)]
ROOM = 10_000_000  # tokens that may wait


def patient(seconds: float, tell=None) -> tuple[Patience, Stages, Metrics]:
    metrics = Metrics()
    stages = Stages(metrics)
    return Patience(stages, metrics, time.perf_counter() + seconds, tell), stages, metrics


def asked(told: bytes | None, start: float = 10.0) -> float:
    """The deadline of a request with that header, of a service whose own is 5 s."""
    headers = [(b"host", b"x")] if told is None else [(b"host", b"x"), (b"x-request-timeout-ms", told)]
    return deadline({"headers": headers}, start, 5.0)


def test_the_header_says_how_long_and_without_it_the_setting_does():
    assert asked(None) == 15.0
    assert asked(b"250") == pytest.approx(10.25 - LEAVING)


def test_a_short_deadline_is_not_eaten_by_its_own_answer():
    assert asked(b"1") == pytest.approx(10.0009)


@pytest.mark.parametrize("seconds", [0.0, 60.0])
def test_whoever_is_late_is_let_go_of_without_the_collector(seconds):
    async def run():
        patience, stages, _ = patient(seconds)
        try:
            with patience:
                stages.until = 0.0
                stages.check()
        except Expired as error:
            return weakref.ref(error)

    gc.disable()
    try:
        assert asyncio.run(run())() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "told", [b"", b"0", b"-1", b"1.5", b"1e3", b"soon", str(MOST + 1).encode(), b"9" * 99]
)
def test_a_header_that_is_no_number_of_milliseconds_is_refused(told):
    with pytest.raises(Invalid, match="X-Request-Timeout-Ms: must be a whole number of milliseconds"):
        asked(told)


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="this system does not tell when bytes came")
def test_what_lay_in_the_buffer_of_the_system_has_waited():
    with (
        socket.create_server(("127.0.0.1", 0)) as door,
        socket.create_connection(door.getsockname()) as caller,
    ):
        there, _ = door.accept()
        with there:
            caller.send(b"x")
            time.sleep(0.1)
            began = arrival(there)
            until = deadline({"headers": [(b"x-request-timeout-ms", b"50")], SOCKET: there}, began + 9, 5.0)
        assert time.perf_counter() - began > 0.05
        assert until < time.perf_counter()
        assert arrival(there) > began  # closed: nobody waits


def test_what_came_just_now_has_not_waited():
    before = time.perf_counter()
    with (
        socket.create_server(("127.0.0.1", 0)) as door,
        socket.create_connection(door.getsockname()) as caller,
    ):
        there, _ = door.accept()
        with there:
            caller.send(b"x")
            assert arrival(there) >= before - 0.004
    assert arrival(None) >= before


@pytest.mark.skipif(sys.platform != "linux", reason="this system does not tell when bytes came")
def test_what_came_a_while_ago_came_within_its_tick():
    before = time.perf_counter()
    for _ in range(1_000):
        TICKS.middle(0.0)  # how far the coarse time is behind is seen by and by
    middle = TICKS.middle(1.0)
    assert before - 1.0 - TICKS.length <= middle <= time.perf_counter() - 1.0 + TICKS.length
    assert before - TICKS.length <= TICKS.middle(0.0) <= time.perf_counter()


def test_a_stage_that_is_late_does_not_begin():
    async def run():
        patience, stages, metrics = patient(0.0)
        begun = []
        with pytest.raises(Expired, match="in the stage heads"), patience, stages("heads"):
            begun.append("heads")
        return begun, metrics.expired.labels("heads").value

    assert asyncio.run(run()) == ([], 1)


def test_a_wait_ends_with_the_deadline_and_the_task_goes_on():
    async def run():
        patience, stages, metrics = patient(0.01)
        with pytest.raises(Expired), patience, stages("text"):
            await asyncio.sleep(60)
        await asyncio.sleep(0)
        return metrics.expired.labels("text").value, asyncio.current_task().cancelling()

    assert asyncio.run(run()) == (1, 0)


def test_who_is_late_is_told_before_what_was_done_for_him_has_ended():
    async def run():
        told, ends = [], []
        patience, stages, metrics = patient(0.01, lambda late: told.append(str(late)) or "told")
        with patience, stages("text"):
            try:
                await asyncio.sleep(60)
            finally:
                ends.append(list(told))
        await asyncio.sleep(0)
        return ends, patience.told, metrics.expired.labels("text").value, asyncio.current_task().cancelling()

    said = "the deadline passed in the stage text; ask for less, or wait longer"
    assert asyncio.run(run()) == ([[said]], "told", 1, 0)


def test_what_goes_wrong_once_he_was_told_is_no_second_answer():
    async def run():
        patience, _, metrics = patient(0.01, lambda _: "told")
        with patience:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                raise Invalid("it came to this meanwhile") from None
        return patience.told, metrics.expired.labels("read").value, asyncio.current_task().cancelling()

    assert asyncio.run(run()) == ("told", 1, 0)


def test_who_has_hung_up_is_told_nothing():
    async def run():
        told = []
        patience, _, metrics = patient(60.0, told.append)
        asyncio.get_running_loop().call_soon(patience.leave)
        with pytest.raises(Gone), patience:
            await asyncio.sleep(60)
        return told, metrics.abandoned.value

    assert asyncio.run(run()) == ([], 1)


def test_who_cannot_be_told_now_gets_the_error_later():
    def tell(_):
        raise OSError("the line is gone")

    async def run():
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        patience, _, metrics = patient(0.01, tell)
        with pytest.raises(Expired), patience:
            await asyncio.sleep(60)
        return metrics.expired.labels("read").value

    assert asyncio.run(run()) == 1


def test_nothing_is_late_any_more_once_the_answer_is_made():
    """A stream goes on after it."""

    async def run():
        patience, stages, _ = patient(0.01)
        with patience:
            pass
        await asyncio.sleep(0.03)
        with stages("heads"):
            return "streamed"

    assert asyncio.run(run()) == "streamed"


def test_who_hangs_up_is_counted_and_waits_no_more():
    async def run():
        patience, stages, metrics = patient(60.0)
        asyncio.get_running_loop().call_later(0.01, patience.leave)
        with pytest.raises(Gone), patience, stages("text"):
            await asyncio.sleep(60)
        patience.leave()  # twice: too late
        await asyncio.sleep(0)
        return metrics.abandoned.value

    assert asyncio.run(run()) == 1


def test_a_cancellation_from_outside_stays_one():
    async def work():
        patience, _, _ = patient(60.0)
        with patience:
            await asyncio.sleep(60)

    async def run():
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())


@asynccontextmanager
async def crowded(service):
    """Many texts stand in line before whoever comes, far longer than he waits; at the end all are encoded."""
    texts = service.model.pools.texts
    rows = [texts.encode(text) for text in CROWD]
    yield
    await asyncio.gather(*rows)
    await asyncio.sleep(0)


def roomy(settings):
    return settings.model_copy(update={"max_waiting_tokens": ROOM})


def encodes(service) -> float:
    return service.metrics.encodes.labels("text").value


def test_a_text_whose_caller_has_expired_in_the_line_is_never_encoded(settings):
    async def run():
        async with serving(roomy(settings)) as (client, service):
            before = encodes(service)
            async with crowded(service):
                answer = await client.post(
                    "/recommend",
                    json={"query": "nobody waits for this", "k": 1},
                    headers={"X-Request-Timeout-Ms": "20"},
                )
            stages = ("read", "redis", "text")  # one of them, as fast as the machine is
            expired = sum(service.metrics.expired.labels(stage).value for stage in stages)
            return answer, encodes(service) - before, expired

    answer, number, expired = asyncio.run(run())
    assert answer.status_code == 504
    assert answer.json()["error_type"] == "timeout"
    assert (number, expired) == (len(CROWD), 1)


def test_many_who_are_late_together_are_told_all_that_one_is(settings):
    """And are heard again on the same connection."""

    async def run():
        async with (
            served(roomy(settings)) as (service, server),
            httpx.AsyncClient(base_url=server.address) as client,
        ):

            def ask(number):
                body = {"query": f"nobody waits for number {number}", "k": 1}
                told = {"X-Request-Timeout-Ms": "50", "X-Request-Id": f"late-{number}"}
                return client.post("/recommend", json=body, headers=told)

            before = encodes(service)
            async with crowded(service):
                answers = await asyncio.gather(*map(ask, range(20)))
            again = await client.post("/recommend", json={"query": "and now", "k": 1})
            counted = service.metrics.requests.labels("/recommend", 504).value
            return answers, again, encodes(service) - before, counted, service.name

    answers, again, number, counted, name = asyncio.run(run())
    assert (again.status_code, number, counted) == (200, len(CROWD) + 1, 20)
    for number, answer in enumerate(answers):
        assert (answer.status_code, answer.json()["request_id"]) == (504, f"late-{number}")
        assert answer.headers["X-Request-Id"] == f"late-{number}"
        assert answer.headers["X-Model-Version"] == name
        assert "the deadline passed in the stage " in answer.json()["error"]
        assert "total;dur=" in answer.headers["Server-Timing"]


def test_who_asks_behind_one_that_is_late_is_answered_behind_him(settings):
    late = b'{"query": "nobody waits for this one", "k": 1}'
    head = b"POST /recommend HTTP/1.1\r\nHost: x\r\nX-Request-Timeout-Ms: 30\r\nContent-Length: %d\r\n\r\n"
    requests = head % len(late) + late + b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    async def run():
        async with served(roomy(settings)) as (service, server):
            url = httpx.URL(server.address)
            async with crowded(service):
                reader, writer = await asyncio.open_connection(url.host, url.port)
                writer.write(requests)
                said = await reader.read()
                writer.close()
            return said

    said = asyncio.run(run())
    first, last = said.find(b"HTTP/1.1 504 "), said.find(b"HTTP/1.1 200 ")
    assert 0 == first < last


def test_a_text_that_somebody_else_wants_too_is_encoded(settings):
    async def run():
        async with serving(roomy(settings)) as (client, service):
            before = encodes(service)
            async with crowded(service):
                body = {"query": "one of two waits for this", "k": 1}
                waits = ({"X-Request-Timeout-Ms": told} for told in ("20", "600000"))
                answers = await asyncio.gather(
                    *(client.post("/recommend", json=body, headers=told) for told in waits)
                )
            return [answer.status_code for answer in answers], encodes(service) - before

    assert asyncio.run(run()) == ([504, 200], len(CROWD) + 1)


def test_a_text_whose_caller_has_hung_up_is_never_encoded(settings):
    body = b'{"query": "nobody is there for this", "k": 1}'
    request = b"POST /recommend HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    async def run():
        async with served(roomy(settings)) as (service, server):
            before, url = encodes(service), httpx.URL(server.address)
            async with crowded(service):
                _, writer = await asyncio.open_connection(url.host, url.port)
                writer.write(request)
                await eventually_async(lambda: _is(service.metrics.in_progress.value == 1))
                writer.close()
                await eventually_async(lambda: _is(service.metrics.in_progress.value == 0))
            return encodes(service) - before, service.metrics.abandoned.value

    assert asyncio.run(run()) == (len(CROWD), 1)


async def _is(true):
    return true


def test_a_deadline_is_refused_by_name_over_http(client):
    answer = client.post("/score", json={"texts": ["red"]}, headers={"X-Request-Timeout-Ms": "soon"})
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("X-Request-Timeout-Ms: ")


def test_what_came_while_the_loop_was_busy_is_told_so_without_being_read(settings):
    """Its body is no JSON: nobody has parsed it."""
    request = b"POST /recommend HTTP/1.1\r\nHost: x\r\nX-Request-Timeout-Ms: 50\r\nContent-Length: 1\r\n\r\n{"

    async def run():
        async with served(settings) as (service, server):
            url = httpx.URL(server.address)
            reader, writer = await asyncio.open_connection(url.host, url.port)
            await eventually_async(lambda: _is(service.metrics.connections.value == 1))
            writer.write(request)
            time.sleep(0.2)  # the loop, busy with others
            head = await reader.readline()
            writer.close()
            return head, service.metrics.expired.labels("read").value

    assert asyncio.run(run()) == (b"HTTP/1.1 504 Gateway Timeout\r\n", 1)


def test_near_the_deadline_given_candidates_are_ranked_for_the_user_alone(settings, bundle):
    """As if nothing had been asked for, and the query leaves the line."""
    ids, moment = list(Bundle.open(bundle).items.ids[:20]), {"timestamp": "2026-01-01T00:00:00Z"}
    body = {"user_id": "hurried", "candidates": ids, "k": 5, "context": moment}
    told = {"X-Request-Timeout-Ms": "400"}

    async def run():
        async with (
            served(roomy(settings)) as (service, server),
            httpx.AsyncClient(base_url=server.address) as client,
        ):
            alone = await client.post("/recommend", json=body)
            texts = service.model.pools.texts
            rows = [texts.encode(f"a very long line, number {number}") for number in range(100_000)]
            partial = await client.post("/recommend", json=body | {"query": "not in time"}, headers=told)
            entries = {"requests": [body | {"query": "neither"}, body]}
            both = await client.post("/recommend/batch", json=entries, headers=told)
            found = await client.post("/recommend", json={"user_id": "hurried", "query": "no"}, headers=told)
            for row in rows:
                row.cancel()
            await eventually_async(lambda: _is(service.metrics.tokens_waiting.value == 0))
            return alone, partial, both, found, service.model.recommender.recent

    alone, partial, both, found, encoded = asyncio.run(run())
    assert (partial.status_code, partial.json()["degraded"]) == (200, ["query"])
    assert partial.json()["items"] == alone.json()["items"]
    assert [result["degraded"] for result in both.json()["results"]] == [["query"], []]
    assert found.status_code == 504
    assert not {"not in time", "neither", "no"} & set(encoded)


def test_events_have_no_deadline_for_they_may_have_been_stored(client):
    event = {"user_id": "patience", "item_id": "i1", "event": "click"}
    answer = client.post("/events", json=event, headers={"X-Request-Timeout-Ms": "soon"})
    assert answer.status_code == 200
