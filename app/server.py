"""uvicorn, with a stage of our own before its end: readiness drops first, then it stops listening.

uvicorn closes its listener at SIGTERM at once, while balancers still send; for CHORUS_DRAIN_SECONDS the
service is not ready but answers. A second signal ends that stage, a third the open requests. Nobody who has sent
anything is hung up on: see listener.py and connection.py.
"""

import asyncio
import gc
import logging
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI

from app import descriptors
from app.connection import Connection
from app.intake import Intake
from app.listener import Listener, Peers, address, listen
from app.pulse import STUCK_SECONDS
from app.service import Service
from app.settings import Settings

log = logging.getLogger(__name__)

YOUNG = 10_000  # objects between two looks for cycles: an answer makes a thousand, and cycles are few
OLDER, OLD = 2, 50  # looks at new ones before one at what stayed, and those before one at all: each is short


class Server(uvicorn.Server):
    """Serves one app until a signal comes or its model is refused; `announce` is called once it is ready.

    peers: other processes that serve on the same socket.
    """

    def __init__(
        self, app: FastAPI, settings: Settings, announce: Callable[[], None], peers: Peers | None = None
    ) -> None:
        config = uvicorn.Config(
            app,
            http=Intake,
            ws="none",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=settings.grace_seconds,
        )
        super().__init__(config)
        self._service: Service = app.state.service
        self._drain = settings.drain_seconds
        self._announce = announce
        self._peers = peers or Peers([])
        self._announced = self._told = False
        self._leave = float("inf")

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Not ready now, gone later; at once if told again."""
        del sig, frame
        told, self._told = self._told, True
        if told and self.should_exit:  # it may leave of itself, and then hear the first signal
            self.force_exit = True
        elif self._service.draining or self._drain == 0.0:
            self.should_exit = True
        else:
            log.info("draining for %g s", self._drain)
            self._leave = time.monotonic() + self._drain
        self._service.drain()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, on the first of the sockets if there are any; SIGHUP asks for the newest version from now on.

        SettingsError if the address is taken.
        """
        listening = sockets[0] if sockets else listen(self._service.settings)
        self.address = address(listening)
        descriptors.allow(self._service.settings.max_connections)
        gc.collect()
        gc.freeze()  # modules stay: a look at all that they hold takes the event loop a tenth of a second
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._service.renew)
        await super().startup([])
        self._listener = Listener(listening, self._protocol, self._service.metrics, self._peers)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take nobody any more, then as uvicorn does."""
        await self._listener.close()
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: does it move, is it ready, was it refused, is it time to go?"""
        connections = self.server_state.connections
        self._service.metrics.connections.set(len(connections))
        self._service.tell()
        if self._service.stuck <= STUCK_SECONDS:
            self._service.metrics.moved.set(time.time())
        if counter % 10 == 0:
            now = asyncio.get_running_loop().time()
            for each in [one for one in connections if isinstance(one, Connection)]:
                each.look(now)
        if self._service.failure or time.monotonic() >= self._leave:
            self.should_exit = True
        elif not self._announced and self._service.name:
            self._announced = True
            gc.collect()
            gc.freeze()  # what is there now stays: no look for cycles goes through it again
            gc.set_threshold(YOUNG, OLDER, OLD)
            self._announce()
        return await super().on_tick(counter)

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
