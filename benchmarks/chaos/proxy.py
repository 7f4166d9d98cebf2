"""A proxy before Redis that does harm when it is told, a line on stdin at a time; `ok` on stdout when it does.

    python -m benchmarks.chaos.proxy PORT TARGET

pass          bytes go both ways, as they come
refuse        nobody listens, and whoever was connected is reset
swallow       callers stay connected, and nothing comes back
slow MS       replies come so many milliseconds later
cut           half of a reply, then a reset
garble        the first byte of a reply is another
target PORT   hang up, and talk to another server from now on
"""

import asyncio
import socket
import struct
import sys
from asyncio import StreamReader, StreamWriter
from contextlib import suppress

HOST = "127.0.0.1"
CHUNK = 1 << 16
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: what is closed is reset


class Proxy:
    """Listens on a port, for a server on another."""

    def __init__(self, port: int, target: int) -> None:
        self._port, self._target = port, target
        self._mode, self._delay = "pass", 0.0
        self._server: asyncio.Server | None = None
        self._open: set[StreamWriter] = set()

    async def tell(self, words: list[str]) -> None:
        """Do what a line says."""
        self._mode, *numbers = words
        self._delay = float(numbers[0]) / 1e3 if self._mode == "slow" else 0.0
        if self._mode in ("refuse", "target"):
            await self._hang_up()
        if self._mode == "target":
            self._mode, self._target = "pass", int(numbers[0])
        if self._mode != "refuse" and self._server is None:
            self._server = await asyncio.start_server(self._serve, HOST, self._port)

    async def _hang_up(self) -> None:
        if self._server:
            self._server.close()
            self._server = None
        for writer in self._open.copy():
            _reset(writer)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(OSError):
            there, out = await asyncio.open_connection(HOST, self._target)
            pair = {writer, out}
            self._open |= pair
            pumps = [
                asyncio.create_task(self._asks(reader, out)),
                asyncio.create_task(self._answers(there, writer)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            out.close()
            self._open -= pair
        writer.close()

    async def _asks(self, reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK):
                if self._mode != "swallow":
                    writer.write(chunk)

    async def _answers(self, reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK):
                if self._mode == "slow":
                    await asyncio.sleep(self._delay)
                elif self._mode == "garble":
                    chunk = b"\0" + chunk[1:]
                elif self._mode == "cut":
                    writer.write(chunk[: len(chunk) // 2])
                    await asyncio.sleep(0.001)  # let it go out: a reset forgets what is still here
                    _reset(writer)
                    return
                if self._mode != "swallow":
                    writer.write(chunk)


def _reset(writer: StreamWriter) -> None:
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


async def main(port: int, target: int) -> None:
    """Until stdin ends."""
    proxy, lines = Proxy(port, target), asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    await proxy.tell(["pass"])
    while line := await lines.readline():
        await proxy.tell(line.decode().split())
        sys.stdout.write("ok\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
