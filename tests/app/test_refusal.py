"""Errors of every kind at a real process: one form, whoever writes them."""

import json
import socket

import httpx
import pytest

from app import keyring
from tests.live import process

ALL = {
    "date", "content-type", "content-length", "x-content-type-options", "cache-control", "x-request-id",
    "x-model-version",
}  # fmt: skip
HEAD = b"HTTP/1.1\r\nHost: x\r\nX-API-Key: "
KEY = keyring.make()
ASKED = {
    "no HTTP": (b"hello\r\n\r\n", 400),
    "a long head": (b"GET /" + b"x" * 40_000 + b" HTTP/1.1\r\n\r\n", 431),
    "too slow": (b"GET /info HTTP", 408),
    "no key": (b"GET /info HTTP/1.1\r\nConnection: close\r\n\r\n", 401),
    "no scope": (b"GET /metrics %b%b\r\nConnection: close\r\n\r\n" % (HEAD, KEY.encode()), 403),
    "no path": (b"GET /docs/no HTTP/1.1\r\nConnection: close\r\n\r\n", 404),
    "no method": (b"PUT /health HTTP/1.1\r\nConnection: close\r\n\r\n", 405),
    "no body": (
        b"POST /recommend %b%b\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" % (HEAD, KEY.encode()),
        422,
    ),
}


@pytest.fixture(scope="module")
def served(shelf, redis_server, tmp_path_factory):
    path = tmp_path_factory.mktemp("refusal") / "keys"
    sha256 = keyring.digest(KEY.encode())
    keyring.add(path, keyring.key(name="one", scopes=("recommend",), sha256=sha256))
    named = {"CHORUS_API_KEYS_FILE": str(path), "CHORUS_RECEIVE_SECONDS": "1"}
    with process(shelf, redis_server, **named) as (_, address, _):
        yield address


@pytest.mark.parametrize("name", ASKED)
def test_every_error_has_the_same_form_and_the_same_headers(served, name):
    asked, status = ASKED[name]
    port = int(served.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as talk:
        talk.sendall(asked)
        answer = b""
        while data := talk.recv(65_536):
            answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    assert len(headers) == len(lines)
    assert int(first.split()[1]) == status
    assert headers.keys() >= ALL
    assert headers["connection"] == "close"
    assert int(headers["content-length"]) == len(body)
    told = json.loads(body)
    assert told.keys() == {"error", "error_type", "request_id"}
    assert told["request_id"] == headers["x-request-id"]


def test_no_answer_sends_a_caller_elsewhere(served):
    for path in ("/health/", "/docs/", "/livez/"):
        answer = httpx.get(served + path, headers={"Host": "elsewhere.example", "X-API-Key": KEY})
        assert (answer.status_code, answer.headers.get("location")) == (404, None)
