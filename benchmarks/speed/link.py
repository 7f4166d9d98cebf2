"""One HTTP connection that stays open, on a plain socket: as little of the generator's core as Python allows."""

import os
import select
import socket
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

PATIENCE = 60.0


class HungUp(SystemExit):
    """The server has ended a connection on which it owed an answer."""


@dataclass
class Link:
    """A connection: what was read of an answer, and when its request was due."""

    socket: socket.socket
    due: float = 0.0
    read: bytearray = field(default_factory=bytearray)

    def ask(self, request: bytes, due: float = 0.0) -> None:
        """Send one request."""
        self.due = due
        self.read.clear()
        self.socket.sendall(request)

    @property
    def usable(self) -> bool:
        """Whether the server has not hung up on it while nothing was asked."""
        try:
            self.socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except ConnectionError:
            pass
        return False

    def answer(self) -> bytes | None:
        """The head of the answer, in small letters, once the answer is whole."""
        try:
            chunk = self.socket.recv(1 << 18)
        except ConnectionError as error:
            raise HungUp(f"the server hung up: {error}") from None
        if not chunk:
            raise HungUp("the server hung up")
        self.read += chunk
        end = self.read.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = bytes(self.read[:end]).lower()
        size = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
        whole = len(self.read) >= end + 4 + int(size) if size else self.read.endswith(b"\r\n0\r\n\r\n")
        return head if whole else None


def links(url: str, number: int) -> list[Link]:
    """So many, opened."""
    place = urlsplit(url)
    return [_open(place.hostname or "", place.port or 80) for _ in range(number)]


def request(url: str, body: bytes) -> bytes:
    """A POST of JSON as it goes over the line, with the key that SPEED_KEY names, if any."""
    place = urlsplit(url)
    head = f"POST {place.path} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: application/json\r\n"
    if key := os.environ.get("SPEED_KEY"):
        head += f"X-API-Key: {key}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def together(url: str, bodies: Sequence[bytes], *, at_once: int) -> Counter[int]:
    """All bodies, over so many connections that were opened before; answers by status."""
    left, tally = [request(url, body) for body in reversed(bodies)], Counter[int]()
    busy = {link.socket: link for link in links(url, min(at_once, len(bodies)))}
    for link in busy.values():
        link.ask(left.pop())
    deadline = time.monotonic() + PATIENCE
    while busy:
        for each in select.select(list(busy), [], [], 1.0)[0]:
            head = busy[each].answer()
            if head is None:
                continue
            tally[int(head.split(b" ", 2)[1])] += 1
            if left:
                busy[each].ask(left.pop())
            else:
                busy.pop(each).socket.close()
            deadline = time.monotonic() + PATIENCE
        if time.monotonic() > deadline:
            raise SystemExit(f"{url}: no answer for {PATIENCE:.0f} s")
    return tally


def _open(host: str, port: int) -> Link:
    opened = socket.create_connection((host, port))
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    return Link(opened)
