"""Raw sockets against the real process."""

import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.live import eventually, process, shown

GOOD = b'POST /recommend HTTP/1.1\r\nHost: x\r\nContent-Length: 24\r\n\r\n{"user_id": "u", "k": 1}'
CHUNKED = b"POST /recommend HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: h2c"


@pytest.fixture(scope="module")
def port(shelf, redis_server):
    named = {
        "CHORUS_RECEIVE_SECONDS": "1.5",
        "CHORUS_MAX_CONNECTIONS": "20",
        "CHORUS_MAX_WAIT_MS": "10000",
    }
    with process(shelf, redis_server, **named) as (_, address, _):
        yield int(address.rpartition(":")[2])


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def heard(talk):
    """All that comes until it hangs up."""
    found = b""
    try:
        while data := talk.recv(65_536):
            found += data
    except ConnectionResetError:
        pass
    return found


def said(port, *pieces, pause=0.0):
    with connect(port) as talk:
        for piece in pieces:
            try:
                talk.sendall(piece)
            except OSError:  # it has hung up
                break
            time.sleep(pause)
        return heard(talk)


@pytest.mark.parametrize("path", ["/health/ready", "/livez", "/health", "/metrics", "/info"])
def test_head_is_answered_as_get_without_its_body(port, path):
    """As monitors ask, and `curl --head`; nothing is left on the line that would be read as the next answer."""
    with connect(port) as talk, talk.makefile("rb") as lines:
        for method in (b"HEAD", b"GET"):
            talk.sendall(b"%b %b HTTP/1.1\r\nHost: x\r\n\r\n" % (method, path.encode()))
            assert lines.readline() == b"HTTP/1.1 200 OK\r\n"
            headers = dict(line.rstrip().split(b": ", 1) for line in iter(lines.readline, b"\r\n"))
        assert lines.read(int(headers[b"content-length"]))


def test_head_of_what_is_not_taken_with_get_is_not_taken(port):
    answer = said(port, b"HEAD /recommend HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 405 ")
    assert b"allow: POST\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


def refusals(port, reason):
    with httpx.Client() as client:
        return shown(client, f"http://127.0.0.1:{port}", f'chorus_rejected_total{{reason="{reason}"}}')


BAD = {
    "no HTTP": ([b"hello\r\n\r\n"], 400, "malformed"),
    "TLS": ([b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 40], 400, "malformed"),
    "two lengths": ([GOOD.replace(b"Host: x", b"Content-Length: 3")], 400, "malformed"),
    "length and chunks": ([GOOD.replace(b"Host: x", b"Transfer-Encoding: chunked")], 400, "malformed"),
    "bad chunk": (
        [b"POST /recommend HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n"],
        400,
        "malformed",
    ),
    "NUL in a header": ([b"GET /info HTTP/1.1\r\nHost: x\0y\r\n\r\n"], 400, "malformed"),
    "a long header": (
        [b"GET /info HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 40_000 + b"\r\n\r\n"],
        431,
        "headers_too_large",
    ),
    "many headers": (
        [b"GET /info HTTP/1.1\r\nHost: x\r\n" + b"X-Y: z\r\n" * 10_000 + b"\r\n"],
        431,
        "headers_too_large",
    ),
    "a long path": ([b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"], 431, "headers_too_large"),
    "headers without end": (
        [b"GET /info HTTP/1.1\r\nX-Long: ", *[b"x" * 65_536] * 64],
        431,
        "headers_too_large",
    ),
    "blank lines without end": ([b"\r\n" * 32_768] * 8, 431, "headers_too_large"),
    "trailers without end": ([CHUNKED + b"0\r\n", *[b"X-Y: z\r\n" * 8_000] * 8], 431, "headers_too_large"),
    "a trailer without end": (
        [CHUNKED + b"0\r\nX-Y: ", *[b"z" * 65_536] * 8],
        431,
        "headers_too_large",
    ),
    "a chunk's head without end": (
        [CHUNKED + b"18;", *[b"z" * 65_536] * 8],
        431,
        "headers_too_large",
    ),
    "an upgrade with a body": (
        [GOOD.replace(b"Host: x", UPGRADE)[:-24], b"GET /health/live HTTP/1.1\r\n\r\n"],
        400,
        "malformed",
    ),
    "an upgrade with chunks": (
        [CHUNKED.replace(b"Host: x", UPGRADE), b"GET /health/live HTTP/1.1\r\n\r\n"],
        400,
        "malformed",
    ),
    "CONNECT": ([b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n"], 400, "malformed"),
    "HTTP/2": ([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"], 400, "malformed"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_is_refused_and_hung_up(port, name):
    pieces, status, reason = BAD[name]
    before = refusals(port, reason)
    answer = said(port, *pieces, pause=0.01)
    if answer:  # who still sends when we hang up may lose the answer
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert b'"error_type":"%b"' % reason.encode() in answer
        assert answer.count(b"\r\ndate: ") == 1
    assert refusals(port, reason) == before + 1
    assert said(port, GOOD.replace(b"Host: x", b"Connection: close")).startswith(b"HTTP/1.1 200")


SLOW = {
    "nothing": [],
    "half a head": [b"GET /info HTTP/1.1\r\nHost:"],
    "half a body": [GOOD[:-5]],
    "blank lines": [b"\r\n"] * 12,
    "drops": [bytes([each]) for each in GOOD[:12]],
    "half a body after a refusal": [b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 24\r\n\r\n{"],
}


@pytest.mark.parametrize("name", SLOW)
def test_who_takes_too_long_is_hung_up(port, name):
    before = refusals(port, "too_slow")
    answer = said(port, *SLOW[name], pause=0.2)
    assert b"200 OK" not in answer
    if name in ("half a head", "half a body", "drops"):
        assert answer.startswith(b"HTTP/1.1 408 ")
    assert refusals(port, "too_slow") == before + 1


def test_who_does_not_read_an_answer_is_hung_up(port):
    before, lines = refusals(port, "too_slow"), b"{\n" * 100_000
    head = b"Content-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n" % len(lines)
    with connect(port) as talk:
        talk.sendall(b"POST /recommend/batch HTTP/1.1\r\nHost: x\r\n" + head + lines)
        eventually(lambda: refusals(port, "too_slow") == before + 1)
        assert not heard(talk).endswith(b"0\r\n\r\n")


def test_what_comes_behind_a_body_is_no_header(port):
    body = b'18\r\n{"user_id": "u", "k": 1}\r\n0\r\nX-Request-Id: trailer\r\nX-Request-Timeout-Ms: no\r\n\r\n'
    answer = said(port, CHUNKED.replace(b"Host: x", b"Connection: close") + body)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"trailer" not in answer


def test_a_body_in_chunks_may_be_of_many_and_long(port):
    last = b'1\r\n{\r\n1\r\n"\r\n16\r\nuser_id": "u", "k": 1}\r\n0\r\n\r\n'
    chunks = [b"1\r\n \r\n" * 20_000, b"10000\r\n", b" " * 65_536, b"\r\n", last]
    answer = said(port, CHUNKED.replace(b"Host: x", b"Connection: close"), *chunks, pause=0.02)
    assert answer.startswith(b"HTTP/1.1 200")


def test_who_would_speak_something_else_is_answered_once(port):
    ask = b"GET /health/live HTTP/1.1\r\nHost: x\r\n%b\r\n\r\n" % UPGRADE
    answer = said(port, ask + GOOD)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer
    assert answer.count(b"HTTP/1.1 ") == 1


def test_a_connection_that_stays_is_not_hung_up_for_its_age(port):
    with connect(port) as talk:
        for _ in range(12):
            talk.sendall(GOOD)
            assert talk.recv(65_536).startswith(b"HTTP/1.1 200")
            time.sleep(0.2)


def test_requests_that_come_together_are_answered_in_turn(port):
    long = GOOD.replace(b"Content-Length: 24", b"Content-Length: 50024") + b" " * 50_000
    last = GOOD.replace(b"Host: x", b"Connection: close")
    answer = said(port, long + GOOD + last[:40], last[40:], pause=0.1)
    assert answer.count(b"HTTP/1.1 200 OK") == 3


def test_who_asks_more_and_more_and_waits_for_nothing_is_hung_up(port):
    ask = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    last = ask.replace(b"Host: x", b"Connection: close")
    assert said(port, ask * 100 + last).count(b"HTTP/1.1 200 OK") == 101
    before = refusals(port, "malformed")
    assert said(port, ask * 1_000).count(b"HTTP/1.1 ") < 200
    assert refusals(port, "malformed") == before + 1


def test_more_connections_than_the_limit_are_hung_up_and_there_is_room_again_later(port):
    before = refusals(port, "connections")
    talks = [connect(port) for _ in range(40)]
    for talk in talks[-5:]:
        assert heard(talk) == b""
    for talk in talks:
        talk.close()
    eventually(lambda: refusals_or_none(port) is not None)
    assert refusals(port, "connections") >= before + 15


def refusals_or_none(port):
    try:
        return refusals(port, "connections")
    except httpx.TransportError:
        return None


def test_a_compressed_body_is_refused_before_it_is_read(client):
    for encoding in ("gzip", "br", "identity, gzip"):
        answer = client.post("/recommend", content=b"\x1f\x8b", headers={"Content-Encoding": encoding})
        assert (answer.status_code, answer.json()["error_type"]) == (415, "encoded")
    body = {"user_id": "u1", "k": 1}
    assert client.post("/recommend", json=body, headers={"Content-Encoding": "identity"}).status_code == 200


LEAVING = {"its first": b"", "another": GOOD}


@pytest.mark.parametrize("before", LEAVING.values(), ids=LEAVING)
def test_whoever_is_connected_when_it_leaves_may_ask_once_more(shelf, redis_server, before):
    with process(shelf, redis_server) as (running, address, _):
        with connect(int(address.rpartition(":")[2])) as talk:
            if before:
                talk.sendall(before)
                assert talk.recv(65_536).startswith(b"HTTP/1.1 200")
            running.send_signal(signal.SIGTERM)
            eventually(lambda: closed(address))
            talk.sendall(GOOD)
            answer = heard(talk)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"\r\nconnection: close\r\n" in answer
        running.communicate(timeout=20)
        assert running.returncode == 0


def test_whoever_asks_for_nothing_is_hung_up_on_when_it_leaves(shelf, redis_server):
    with (
        process(shelf, redis_server) as (running, address, _),
        connect(int(address.rpartition(":")[2])) as talk,
    ):
        running.send_signal(signal.SIGTERM)
        assert heard(talk) == b""
        running.communicate(timeout=20)
        assert running.returncode == 0


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_signal_loses_no_request_of_callers_who_ask_without_a_pause(shelf, redis_server, workers):
    """They come on connections that stay open, and open others when told to, until nobody takes them."""

    def ask(port):
        answers = 0
        while True:
            try:
                talk = connect(port)
            except ConnectionRefusedError:
                return answers
            with talk:
                answer = b""
                while b"connection: close" not in answer:
                    talk.sendall(GOOD)
                    answer = talk.recv(65_536)
                    assert answer.startswith(b"HTTP/1.1 "), "lost"
                    answers += 1

    with (
        process(shelf, redis_server, "--workers", workers) as (running, address, _),
        ThreadPoolExecutor(8) as pool,
    ):
        asked = [pool.submit(ask, int(address.rpartition(":")[2])) for _ in range(8)]
        time.sleep(0.5)
        running.send_signal(signal.SIGTERM)
        assert all(each.result(timeout=20) > 1 for each in asked)
        running.communicate(timeout=20)
        assert running.returncode == 0


def closed(address):
    try:
        connect(int(address.rpartition(":")[2])).close()
    except ConnectionRefusedError:
        return True
    return False
