"""What is no request, over plain sockets: how each ends, and whether others notice."""

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx

from benchmarks.chaos import malformed
from benchmarks.chaos.locked import HOST, Locked

AT_ONCE = 16
GRACE, KEEP_ALIVE = 3.0, 5.0  # seconds beyond the limit of arrival; that an answered connection stays open
TICK = 0.25  # seconds between two bytes of one who is slow
LORIS, READERS, LINES = (
    250,
    10,
    200_000,
)  # connections of each kind that is slow; lines whose answers nobody reads
PIPELINED = 100
PAUSE = 0.02  # seconds between two requests of the others
RESET = b"\x01\0\0\0\0\0\0\0"  # SO_LINGER: what is closed is reset


@dataclass(frozen=True)
class End:
    """How a connection ended: statuses of its answers, seconds that it took, or that it did not."""

    statuses: tuple[int, ...]
    seconds: float
    hung: bool


def suffer(service: Locked, receive: float) -> dict[str, Any]:
    """Everything, while others ask for what is right. receive: seconds that a request may take to arrive."""
    others: list[int] = []
    stop = threading.Event()
    patience = receive + KEEP_ALIVE + GRACE
    sent = list(malformed.cases(service.key))
    with ThreadPoolExecutor(1) as asking, ThreadPoolExecutor(AT_ONCE) as pool:
        asking.submit(_ask, service, others, stop)
        try:
            ends = list(pool.map(lambda each: _send(service.port, each[2], patience), sent))
            slow = dict(_connections(service, receive))
        finally:
            stop.set()
    told: dict[str, Any] = {}
    for kind in dict.fromkeys(each[0] for each in sent):
        chosen = [(name, end) for (one, name, _), end in zip(sent, ends, strict=True) if one == kind]
        told[kind] = _told(chosen)
    told |= slow
    return {"cases": told, "others": len(others), "others failed": sum(status != 200 for status in others)}


def _told(found: Sequence[tuple[str, End]], right: Callable[[End], bool] | None = None) -> dict[str, Any]:
    """A row: `wrong` are those that were answered as if they were right."""

    def answered(kind: int) -> int:
        return sum(any(status // 100 == kind for status in end.statuses) for _, end in found)

    refused = right or (lambda end: all(status // 100 == 4 for status in end.statuses))
    odd = [name for name, end in found if end.hung or not refused(end)]
    return {
        "sent": len(found),
        "4xx": answered(4),
        "hung up without a word": sum(not end.statuses and not end.hung for _, end in found),
        "5xx": answered(5),
        "wrong": sum(not refused(end) for _, end in found),
        "hung": sum(end.hung for _, end in found),
        "longest, s": max(end.seconds for _, end in found),
        "which": "; ".join(dict.fromkeys(odd)),
    }


def _connections(service: Locked, receive: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """Those that are slow, stop half way, or ask for more than they read; all kinds at once."""
    port, key = service.port, service.key.encode()
    head = b"POST /recommend HTTP/1.1\r\nAuthorization: Bearer %b\r\nContent-Length: 1000\r\n" % key
    many = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    lines = b"{\n" * LINES
    stream = head.replace(b"/recommend", b"/recommend/batch").replace(b"1000", b"%d" % len(lines))
    stream += b"Content-Type: application/x-ndjson\r\n\r\n" + lines
    last = many.replace(b"Host: x", b"Connection: close")
    seconds = receive + GRACE
    kinds: dict[str, tuple[Callable[[], list[End]], Callable[[End], bool] | None]] = {
        "slow: silent": (lambda: _drip(port, b"", b"", seconds), None),
        "slow: heads, byte by byte": (lambda: _drip(port, b"", b"GET /" + b"x" * 100, seconds), None),
        "slow: bodies, byte by byte": (lambda: _drip(port, head + b"\r\n", b" " * 100, seconds), None),
        "answers that nobody reads": (lambda: _unread(port, stream, seconds), _whatever),
        "many at once, none read": (lambda: _unread(port, many * 50_000, seconds), _whatever),
        "many at once": (
            lambda: [_send(port, many * PIPELINED + last, seconds)],
            lambda end: end.statuses.count(200) == PIPELINED + 1,
        ),
        "half closed in a head": (lambda: [_send(port, head, seconds, half=True)], None),
        "half closed in a body": (lambda: [_send(port, head + b"\r\n{", seconds, half=True)], None),
        "half closed behind a request": (
            lambda: [_send(port, many, seconds, half=True)],
            lambda end: end.statuses in ((), (200,)),
        ),
        "reset in a body": (lambda: [_reset(port, head + b"\r\n{") for _ in range(100)], None),
    }
    with ThreadPoolExecutor(len(kinds)) as pool:
        running = {name: pool.submit(run) for name, (run, _) in kinds.items()}
        for name, found in running.items():
            yield name, _told([(name, end) for end in found.result()], kinds[name][1])


def _whatever(_: End) -> bool:
    """No answer would be wrong."""
    return True


def _open(port: int, seconds: float, *, small: bool = False) -> socket.socket:
    talk = socket.socket()
    if small:
        talk.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    talk.settimeout(seconds)
    talk.connect((HOST, port))
    return talk


def _send(port: int, sent: bytes, seconds: float, *, half: bool = False) -> End:
    """Say it, and hear all that comes until it ends."""
    start, found = time.monotonic(), bytearray()
    with _open(port, seconds) as talk:
        telling = threading.Thread(target=_tell, args=[talk, sent, half])
        telling.start()
        hung = not _hear(talk, found)
        took = time.monotonic() - start
        with suppress(OSError):
            talk.shutdown(socket.SHUT_RDWR)  # who still tells stops
        telling.join()
    return End(_statuses(found), took, hung)


def _tell(talk: socket.socket, sent: bytes, half: bool) -> None:
    with suppress(OSError):  # it hangs up on who says too much
        talk.sendall(sent)
        if half:
            talk.shutdown(socket.SHUT_WR)


def _hear(talk: socket.socket, found: bytearray) -> bool:
    """Whether it hangs up; all that it says before that."""
    try:
        while data := talk.recv(1 << 16):
            found += data
    except TimeoutError:
        return False
    except OSError:
        pass
    return True


def _drip(port: int, first: bytes, drip: bytes, seconds: float) -> list[End]:
    """Many that say `first` and then a byte at a time."""
    start, ends = time.monotonic(), []
    talks = {_open(port, seconds): bytearray() for _ in range(LORIS)}
    for talk in talks:
        talk.sendall(first)
        talk.setblocking(False)
    at = 0
    while talks and (took := time.monotonic() - start) < seconds:
        for talk, found in list(talks.items()):
            with suppress(OSError):
                talk.send(drip[at : at + 1])
            try:
                data = talk.recv(1 << 16)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            found.extend(data)
            if not data:
                ends.append(End(_statuses(talks.pop(talk)), took, hung=False))
                talk.close()
        at += 1
        time.sleep(TICK)
    ends += [End(_statuses(found), seconds, hung=True) for found in talks.values()]
    for talk in talks:
        talk.close()
    return ends


def _unread(port: int, sent: bytes, seconds: float) -> list[End]:
    """Some that ask for much and read nothing until the time has passed; hung: all of it is there then."""
    talks = [_open(port, seconds, small=True) for _ in range(READERS)]
    telling = [threading.Thread(target=_tell, args=[talk, sent, False]) for talk in talks]
    for each in telling:
        each.start()
    time.sleep(seconds)
    ends = []
    for talk, each in zip(talks, telling, strict=True):
        found = bytearray()
        heard = _hear(talk, found)
        ends.append(End(_statuses(found)[:1], seconds, hung=not heard or found.endswith(b"0\r\n\r\n")))
        each.join()
        talk.close()
    return ends


def _reset(port: int, sent: bytes) -> End:
    with _open(port, 1.0) as talk:
        talk.sendall(sent)
        talk.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    return End((), 0.0, hung=False)


def _statuses(found: bytes | bytearray) -> tuple[int, ...]:
    return tuple(int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", found))


def _ask(service: Locked, others: list[int], stop: threading.Event) -> None:
    """What is right, again and again, each over a connection of its own."""
    body = {"user_id": "v0001", "k": 5}
    while not stop.wait(PAUSE):
        try:
            answer = httpx.post(
                f"{service.address}/recommend", json=body, headers={"X-API-Key": service.key}, timeout=60.0
            )
            others.append(answer.status_code)
        except httpx.TransportError:
            others.append(0)
