"""A service behind keys, warm: what drills of strangers and of wrong input stand on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from app import keyring
from app.keyring import Scope
from benchmarks.speed import asks, lineup
from benchmarks.speed.link import together
from benchmarks.speed.process import Process, wait
from benchmarks.speed.rig import CONNECTIONS, READY, Rig

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Locked:
    """Where it answers, its file of keys, and the key of the drill, which may do everything."""

    process: Process
    address: str
    file: Path
    key: str

    @property
    def port(self) -> int:
        """Of the address."""
        return int(self.address.rpartition(":")[2])

    def client(self) -> httpx.Client:
        """One that brings the key."""
        return httpx.Client(base_url=self.address, headers={"X-API-Key": self.key}, timeout=60.0)

    def add(self, name: str, *scopes: Scope, **more: object) -> str:
        """A key that the service knows within a second."""
        secret = keyring.make()
        told = keyring.key(name=name, scopes=scopes, sha256=keyring.digest(secret.encode()), **more)
        keyring.add(self.file, told)
        return secret


@contextmanager
def locked(ready: Rig, name: str, **settings: object) -> Iterator[Locked]:
    """Started on the server's core, every user and query asked for once; SPEED_KEY names its key meanwhile."""
    file, secret = ready.folder / f"{name}.keys", keyring.make()
    file.unlink(missing_ok=True)
    keyring.add(file, keyring.key(name="all", scopes=keyring.SCOPES, sha256=keyring.digest(secret.encode())))
    os.environ["SPEED_KEY"] = secret
    told = lineup.chorus(name, local_cache=20_000, api_keys_file=file, **settings)
    try:
        with ready.start(told) as served:
            wait(served.process, lambda: _ready(served.address), READY)
            bodies = asks.write(asks.warming(ready.crowd), ready.folder / "warming.jsonl")
            together(f"{served.address}/recommend", bodies.read_bytes().splitlines(), at_once=CONNECTIONS)
            yield Locked(served.process, served.address, file, secret)
    finally:
        os.environ.pop("SPEED_KEY", None)


def _ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health/ready").status_code == 200
    except httpx.TransportError:
        return False
