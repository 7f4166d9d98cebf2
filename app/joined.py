"""The head of an answer goes out with its body: one call of the system, one packet."""

import asyncio
from typing import Any


class Joined:
    """A connection whose first bytes of a turn of the event loop wait for the second ones, or for its end."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._head: bytes | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Hold the first of a turn, send it with the second; nothing once the caller has gone."""
        if self._transport.is_closing():
            self._head = None
        elif self._head is None:
            self._head = data
            self._loop.call_soon(self._flush)
        else:
            head, self._head = self._head, None
            self._transport.write(head + data)

    def close(self) -> None:
        """Once all is sent."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            if not self._transport.is_closing():
                self._transport.write(head)
