"""Who may pass: the key of a request, whether it reaches that far, and whether it comes too often.

What a path needs is said here by its first name, whoever answers there; what is not said needs `admin`, so that a new
endpoint is closed until somebody opens it. `admin` may do everything. Without a file of keys all but /admin is open.

A key is found by its sha256 in a dict, whose own hash is keyed: how long that takes says nothing of how much of a key
was right. The file is looked at once a second in a thread; if it cannot be used, the keys read before stand.
"""

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from app import keyring
from app.errors import Forbidden, NotReady, SettingsError, Unauthorized
from app.holder import Holder, Need
from app.keyring import Key
from app.metrics import Metrics

log = logging.getLogger(__name__)

NEEDS: Final[Mapping[str, Need]] = {
    "recommend": "recommend", "score": "recommend", "events": "events", "items": "items",
    "info": "any", "metrics": "metrics",
    "health": "none", "livez": "none", "readyz": "none", "healthz": "none",
    "docs": "none", "redoc": "none", "openapi.json": "none",
}  # fmt: skip
LOOK_SECONDS = 1.0

Headers = Iterable[tuple[bytes, bytes]]


def need(path: str) -> Need:
    """What a request to a path needs."""
    return NEEDS.get(_first(path), "admin")


class Gate:
    """Lets requests pass by the keys of a file; `path` None: there is none."""

    def __init__(self, path: Path | None, metrics: Metrics) -> None:
        self._path = path
        self._metrics = metrics
        self._holders: dict[bytes, Holder] | None = None  # by the hash of the key
        self._seen: tuple[int, int, int] | None = None
        self._watch: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Read the keys, and from now on whenever they change. SettingsError if they cannot be used."""
        if self._path is not None:
            self._seen = await asyncio.to_thread(_mark, self._path)
            self._take(await asyncio.to_thread(keyring.read, self._path))
            self._watch = asyncio.create_task(self._keep_watching(self._path))

    async def close(self) -> None:
        """Watch no more."""
        if self._watch:
            self._watch.cancel()
            with suppress(asyncio.CancelledError):
                await self._watch

    def admit(self, path: str, headers: Headers) -> Holder | None:
        """Whose request may pass, None: anybody's. Unauthorized, Forbidden or TooOften if it may not.

        NotReady while no keys are read yet.
        """
        needed = need(path)
        if needed == "none":
            return None
        if self._path is None:
            if _first(path) == "admin":
                raise Forbidden("/admin is closed without keys; name a file of them in CHORUS_API_KEYS_FILE")
            return None
        if self._holders is None:
            raise NotReady("the API keys are not read yet; try again")
        holder = _found(self._holders, headers)
        if needed not in holder.needs:
            raise Forbidden(f"the key {holder.key.name} has no scope {needed}; use one that has", needed)
        holder.come()
        return holder

    async def _keep_watching(self, path: Path) -> None:
        told = ""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            seen = await asyncio.to_thread(_mark, path)
            if seen == self._seen:
                continue
            try:
                self._take(await asyncio.to_thread(keyring.read, path))
                self._seen, told = seen, ""
                log.info("%d API keys read from %s", len(self._holders or ()), path)
            except SettingsError as error:  # and tried again: the file may be as it was and be readable
                self._metrics.keys_stale.set(1)
                if str(error) != told:
                    told = str(error)
                    log.error("%s; the keys read before stand", told)

    def _take(self, keys: Iterable[Key]) -> None:
        before = {holder.key.name: holder for holder in (self._holders or {}).values()}
        self._holders = {
            bytes.fromhex(key.sha256): Holder(key, self._metrics.keys.labels(key.name), before.get(key.name))
            for key in keys
        }
        self._metrics.keys_stale.set(0)


def _first(path: str) -> str:
    """The name that a path begins with, after the version."""
    first, _, rest = path[1:].partition("/")
    return rest.partition("/")[0] if first == "v1" else first


def _mark(path: Path) -> tuple[int, int, int] | None:
    """Changes when the file does; None if there is none."""
    try:
        told = os.stat(path)
    except OSError:
        return None
    return told.st_mtime_ns, told.st_ino, told.st_size


def _found(holders: Mapping[bytes, Holder], headers: Headers) -> Holder:
    sent = _sent(headers)
    if sent is None:
        raise Unauthorized("there is no key; send Authorization: Bearer KEY, or X-API-Key: KEY")
    holder = holders.get(hashlib.sha256(sent).digest())
    if holder is None:
        raise Unauthorized("the key is unknown or was revoked; ask for a new one", wrong=True)
    if holder.expires <= time.time():
        raise Unauthorized(f"the key {holder.key.name} has expired; ask for a new one", wrong=True)
    return holder


def _sent(headers: Headers) -> bytes | None:
    """The key that a request brings."""
    found = None
    for name, value in headers:
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            return value[7:].strip()
        if name == b"x-api-key":
            found = value
    return found
